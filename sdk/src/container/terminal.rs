//! The host's end of a container's terminal.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Attempt, Result};
use crate::sys::tty::{self, WindowSize};

/// The host's end of the terminal of a process that was started with one: what is written here is typed there.
///
/// What the terminal shows is read here if the process was started with [`Stdio::piped`](super::Stdio::piped) for its
/// standard output; else it goes where that says, and reading is [`Unsupported`](io::ErrorKind::Unsupported). As with
/// every terminal the process waits while nobody reads. The terminal stays with the process when this is dropped.
///
/// ```no_run
/// use std::io::{Read, Write};
/// use plywood::container::Stdio;
/// use plywood::{Container, Engine};
///
/// # fn main() -> plywood::Result<()> {
/// let engine = Engine::open_default()?;
/// let shell = Container::of("debian:12").cmd(["sh"]).tty().stdout(Stdio::piped()).start(&engine)?;
/// let mut terminal = shell.take_terminal().expect("it was started with one");
/// terminal.resize(40, 132)?;
/// terminal.write_all(b"stty size; exit\n").expect("the shell reads");
/// let mut shown = String::new();
/// terminal.read_to_string(&mut shown).expect("the shell writes UTF-8");
/// assert!(shown.contains("40 132"));
/// # Ok(()) }
/// ```
pub struct Terminal {
    master: OwnedFd,
    is_readable: bool,
}

impl Terminal {
    pub(super) fn new(master: &OwnedFd, is_readable: bool) -> Result<Self> {
        let master = master.try_clone().attempt(|| "duplicate a terminal")?;
        Ok(Self { master, is_readable })
    }

    /// Tells the terminal its size, in characters; its foreground processes get `SIGWINCH`.
    ///
    /// # Errors
    /// If the kernel refuses.
    #[doc(alias = "TIOCSWINSZ")]
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        tty::resize(&self.master, WindowSize { rows, columns }).attempt(|| "resize a terminal")
    }

    /// Its size, in characters: rows and columns.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn size(&self) -> Result<(u16, u16)> {
        let size = tty::size(&self.master).attempt(|| "ask for the size of a terminal")?;
        Ok((size.rows, size.columns))
    }

    /// A second handle, such as for a thread that types while another reads.
    ///
    /// # Errors
    /// If this program has too many files open.
    pub fn try_clone(&self) -> Result<Self> {
        Self::new(&self.master, self.is_readable)
    }
}

impl Read for Terminal {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Read for &Terminal {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.is_readable {
            true => tty::read(&self.master, buffer),
            false => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "what the terminal shows goes elsewhere (start with Stdio::piped() for standard output)",
            )),
        }
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tty::write(&self.master, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("size", &self.size().ok()).finish_non_exhaustive()
    }
}
