//! Standard input and output of a container's process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::attach::Taps;
use super::terminal::Terminal;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::logs::Stream;
use crate::logs::json_file::Writer;
use crate::runtime::{self, Input, Process, Sink};
use crate::sys::keeper::Line;
use crate::sys::tty::WindowSize;

/// Where a standard stream comes from or goes to, as in [`std::process::Stdio`].
#[derive(Debug, Clone)]
pub struct Stdio(Choice);

#[derive(Debug, Clone)]
enum Choice {
    Null,
    Inherit,
    Piped,
    Log,
    Tee,
    File(Arc<OwnedFd>),
    /// To memory; for the verbs that give the output back.
    Captured,
}

impl Stdio {
    /// Nowhere: `/dev/null` of the container.
    pub fn null() -> Self {
        Self(Choice::Null)
    }

    /// The host program's own stream. What goes there is not in the log.
    pub fn inherit() -> Self {
        Self(Choice::Inherit)
    }

    /// A pipe whose other end is taken from the [`Container`](super::Container). What goes there is not in the log, and
    /// as with every pipe the process waits while it is full.
    pub fn piped() -> Self {
        Self(Choice::Piped)
    }

    /// The container's log: the default of outputs. For an input, the same as [`null`](Self::null).
    pub fn log() -> Self {
        Self(Choice::Log)
    }

    /// The container's log and, byte for byte, the host program's own stream. The process writes no
    /// faster than that stream takes it, and cannot write once it is closed, as if it had the stream itself.
    /// For an input, the same as [`inherit`](Self::inherit).
    pub fn tee() -> Self {
        Self(Choice::Tee)
    }

    /// Whether a standard input that is this has any content.
    pub(crate) fn is_source(&self) -> bool {
        !matches!(self.0, Choice::Null | Choice::Log | Choice::Captured)
    }

    pub(crate) fn captured() -> Self {
        Self(Choice::Captured)
    }
}

impl From<File> for Stdio {
    /// An open file, at its position. What goes there is not in the log.
    fn from(file: File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl From<OwnedFd> for Stdio {
    /// An open file, pipe or socket. What goes there is not in the log.
    fn from(fd: OwnedFd) -> Self {
        Self(Choice::File(Arc::new(fd)))
    }
}

/// How a process ended, and what it wrote: the shape of [`std::process::Output`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: crate::spec::ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

/// The wishes for all three streams.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

/// Our ends of the streams of a process.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
    pub(crate) terminal: Option<Terminal>,
    /// To the supervisor of a container that outlives this program, if this program takes part.
    pub(super) line: Option<Line>,
    /// Who reads along what goes to the log.
    pub(super) taps: [Option<Taps>; 2],
    captured: [Option<Arc<Mutex<Vec<u8>>>>; 2],
    tees: Vec<Tee>,
    /// Where what a terminal shows goes, if not to the supervisor; known before the terminal is.
    shows: Option<Shows>,
}

/// What becomes of what a terminal shows.
#[derive(Debug)]
enum Shows {
    /// Whoever takes the terminal reads it.
    Reader,
    /// A thread writes it there, and to the log.
    Copy(File, Option<ToLog>),
    /// The supervisor has it.
    Sink,
}

impl Streams {
    /// Each stream as wished, else as given here.
    pub(crate) fn new(wishes: [&Option<Stdio>; 3], stdin: Stdio, output: Stdio) -> Self {
        let [own_stdin, own_stdout, own_stderr] = wishes;
        Self {
            stdin: own_stdin.clone().unwrap_or(stdin),
            stdout: own_stdout.clone().unwrap_or_else(|| output.clone()),
            stderr: own_stderr.clone().unwrap_or(output),
        }
    }

    /// Whether they need nothing of this program while the process runs.
    pub(crate) fn are_independent(&self) -> bool {
        let needs_us = |stdio: &Stdio| matches!(stdio.0, Choice::Piped | Choice::Tee | Choice::Captured);
        ![&self.stdin, &self.stdout, &self.stderr].into_iter().any(needs_us)
    }

    /// Those of a kept container that nobody has asked anything else of.
    pub(super) fn kept(has_input: bool) -> Self {
        let stdin = if has_input { Stdio::piped() } else { Stdio::null() };
        Self { stdin, stdout: Stdio::log(), stderr: Stdio::log() }
    }

    /// Whether they can outlive any program.
    pub(super) fn are_nobodys(&self) -> bool {
        let is_nobodys = |stdio: &Stdio| matches!(stdio.0, Choice::Null | Choice::Log);
        let is_input = is_nobodys(&self.stdin) || matches!(self.stdin.0, Choice::Piped);
        is_input && is_nobodys(&self.stdout) && is_nobodys(&self.stderr)
    }

    /// The streams of a process that outlives this program, and the other ends of its outputs and of its input. Those of a
    /// terminal come when it is there.
    pub(super) fn open_kept(
        &self,
        terminal: Option<WindowSize>,
    ) -> Result<(runtime::Stdio, [OwnedFd; 2], Option<OwnedFd>)> {
        let nothing = || -> Result<OwnedFd> { Ok(File::open("/dev/null").attempt(|| "open /dev/null")?.into()) };
        if let Some(size) = terminal {
            let stdin = Input::Terminal { size, output: None };
            let (stdout, stderr) = (runtime::Output::Null, runtime::Output::Null);
            return Ok((runtime::Stdio { stdin, stdout, stderr }, [nothing()?, nothing()?], None));
        }
        let open = |stdio: &Stdio| -> Result<(runtime::Output, OwnedFd)> {
            if !matches!(stdio.0, Choice::Log) {
                return Ok((runtime::Output::Null, nothing()?));
            }
            let (ours, theirs) = pipe()?;
            rustix::io::ioctl_fionbio(&ours, true).attempt(|| "set up a pipe for container output")?;
            Ok((runtime::Output::Fd(theirs), ours))
        };
        let ((stdout, out), (stderr, err)) = (open(&self.stdout)?, open(&self.stderr)?);
        let (stdin, input) = match &self.stdin.0 {
            Choice::Piped => {
                let (theirs, ours) = pipe()?;
                (Input::Fd(theirs), Some(ours))
            }
            _ => (Input::Null, None),
        };
        Ok((runtime::Stdio { stdin, stdout, stderr }, [out, err], input))
    }

    /// Whether anything goes to the log.
    pub(crate) fn needs_log(&self) -> bool {
        [&self.stdout, &self.stderr].iter().any(|stdio| matches!(stdio.0, Choice::Log | Choice::Tee))
    }

    /// Opens what the streams need: the ends for the process, and ours. With a terminal, that takes the place of all.
    pub(crate) fn open(&self, log: Option<Writer>, terminal: Option<WindowSize>) -> Result<(runtime::Stdio, Ends)> {
        if let Some(size) = terminal {
            return self.open_terminal(log, size);
        }
        let mut ends = Ends::default();
        let log = log.map(|writer| Arc::new(Mutex::new(writer)));
        let stdin = match &self.stdin.0 {
            Choice::Null | Choice::Log | Choice::Captured => Input::Null,
            Choice::Inherit | Choice::Tee => Input::Inherit,
            Choice::File(fd) => Input::Fd(fd.try_clone().attempt(|| "duplicate the file for standard input")?),
            Choice::Piped => {
                let (theirs, ours) = pipe()?;
                ends.stdin = Some(ours.into());
                Input::Fd(theirs)
            }
        };
        let stdout = open_output(&self.stdout, Stream::Stdout, log.clone(), &mut ends)?;
        let stderr = open_output(&self.stderr, Stream::Stderr, log, &mut ends)?;
        Ok((runtime::Stdio { stdin, stdout, stderr }, ends))
    }

    /// What a terminal shows is standard output.
    fn open_terminal(&self, log: Option<Writer>, size: WindowSize) -> Result<(runtime::Stdio, Ends)> {
        if let Choice::File(_) = self.stdin.0 {
            let message = "use a file as standard input: with a terminal, all input is typed into that";
            let error = Error::new(ErrorKind::InvalidArgument, message);
            return Err(error.with_hint("write the file's content to what take_terminal gives"));
        }
        let mut ends = Ends::default();
        let stream = Stream::Stdout;
        let log = log.map(|log| ToLog::new(Arc::new(Mutex::new(log)), stream, &mut ends));
        let sink = |sink: Box<dyn Sink>| (Some(sink), Shows::Sink);
        let (output, shows) = match (&self.stdout.0, log) {
            (Choice::Piped, _) => (None, Shows::Reader),
            (Choice::Captured, _) => {
                let buffer = Arc::new(Mutex::new(Vec::new()));
                ends.captured[stream as usize] = Some(Arc::clone(&buffer));
                sink(Box::new(ToMemory(buffer)))
            }
            (Choice::Log, Some(log)) => sink(Box::new(log)),
            // Somebody has to take it, or the process would wait.
            (Choice::Null | Choice::Log, _) => sink(Box::new(Nowhere)),
            (Choice::Inherit, _) => (None, Shows::Copy(own(stream)?, None)),
            (Choice::Tee, log) => (None, Shows::Copy(own(stream)?, log)),
            (Choice::File(fd), _) => {
                let file = fd.try_clone().attempt(|| format!("duplicate the file for {stream}"))?;
                (None, Shows::Copy(file.into(), None))
            }
        };
        ends.shows = Some(shows);
        let stdin = Input::Terminal { size, output };
        Ok((runtime::Stdio { stdin, stdout: runtime::Output::Null, stderr: runtime::Output::Null }, ends))
    }
}

fn open_output(
    stdio: &Stdio,
    stream: Stream,
    log: Option<Arc<Mutex<Writer>>>,
    ends: &mut Ends,
) -> Result<runtime::Output> {
    Ok(match &stdio.0 {
        Choice::Null => runtime::Output::Null,
        Choice::Inherit => runtime::Output::Inherit,
        Choice::File(fd) => runtime::Output::Fd(fd.try_clone().attempt(|| format!("duplicate the file for {stream}"))?),
        Choice::Piped => {
            let (ours, theirs) = pipe()?;
            match stream {
                Stream::Stdout => ends.stdout = Some(ours.into()),
                Stream::Stderr => ends.stderr = Some(ours.into()),
            }
            runtime::Output::Fd(theirs)
        }
        Choice::Captured => {
            let buffer = Arc::new(Mutex::new(Vec::new()));
            ends.captured[stream as usize] = Some(Arc::clone(&buffer));
            runtime::Output::Sink(Box::new(ToMemory(buffer)))
        }
        Choice::Log => match log {
            Some(log) => runtime::Output::Sink(Box::new(ToLog::new(log, stream, ends))),
            None => runtime::Output::Null,
        },
        Choice::Tee => {
            let (ours, theirs) = pipe()?;
            let log = log.map(|log| ToLog::new(log, stream, ends));
            ends.tees.push(tee(ours.into(), own(stream)?, log)?);
            runtime::Output::Fd(theirs)
        }
    })
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe().attempt(|| "create a pipe")?;
    Ok((reader.into(), writer.into()))
}

impl Ends {
    /// Those of a process whose supervisor has the others.
    pub(super) fn kept(line: Option<Line>) -> Self {
        Self { line, ..Self::default() }
    }

    /// What was captured, after the process has ended.
    pub(crate) fn captured(&self, stream: Stream) -> Vec<u8> {
        let buffer = self.captured[stream as usize].as_ref();
        buffer
            .map(|buffer| std::mem::take(&mut *buffer.lock().unwrap_or_else(PoisonError::into_inner)))
            .unwrap_or_default()
    }

    /// Connects our ends with the terminal of the process, if it has one. A process that gets an error is killed.
    pub(crate) fn connect(&mut self, process: &Process) -> Result<()> {
        let (Some(shows), Some(master)) = (self.shows.take(), process.terminal()) else { return Ok(()) };
        let is_reader = matches!(shows, Shows::Reader);
        let connect = || -> Result<()> {
            self.terminal = Some(Terminal::new(master, is_reader)?);
            if let Shows::Copy(out, log) = shows {
                let from = master.try_clone().attempt(|| "duplicate a terminal")?;
                self.tees.push(tee(from.into(), out, log)?);
            }
            Ok(())
        };
        connect().inspect_err(|_| {
            // It has ended by itself if this fails.
            let _ = process.signal(libc::SIGKILL);
        })
    }

    /// The threads that write to the host program's streams; they end after the process.
    pub(crate) fn take_tees(&mut self) -> Vec<Tee> {
        std::mem::take(&mut self.tees)
    }
}

/// How much a tee reads at a time: what a pipe holds, in bytes.
const TEE_BLOCK: usize = 64 * 1024;

/// A thread that writes to a stream of the host program.
#[derive(Debug)]
pub(crate) struct Tee(JoinHandle<()>);

impl Tee {
    /// Waits until everything is written.
    pub(crate) fn join(self) {
        // A panic in it has been reported there; there is nothing to wait for any more.
        let _ = self.0.join();
    }
}

/// Collects output in memory.
struct ToMemory(Arc<Mutex<Vec<u8>>>);

impl Sink for ToMemory {
    fn write(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

/// Takes output that nobody wants.
struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _: &[u8]) {}
}

/// Writes output to the log.
#[derive(Debug)]
struct ToLog {
    log: Arc<Mutex<Writer>>,
    stream: Stream,
    failed: bool,
    taps: Taps,
}

impl ToLog {
    fn new(log: Arc<Mutex<Writer>>, stream: Stream, ends: &mut Ends) -> Self {
        let taps = ends.taps[stream as usize].insert(Taps::default()).clone();
        Self { log, stream, failed: false, taps }
    }

    /// A log that cannot be written does not stop the container; it is told once.
    fn report(&mut self, result: Result<()>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::warn!("the log of a container is not complete: {error}");
        }
    }
}

impl Sink for ToLog {
    fn write(&mut self, bytes: &[u8]) {
        self.taps.write(bytes);
        let result = self.log.lock().unwrap_or_else(PoisonError::into_inner).write(self.stream, bytes);
        self.report(result);
    }

    fn end(&mut self) {
        self.taps.end();
        let result = self.log.lock().unwrap_or_else(PoisonError::into_inner).end(self.stream);
        self.report(result);
    }
}

/// The host program's own stream.
fn own(stream: Stream) -> Result<File> {
    let duplicate = || match stream {
        Stream::Stdout => io::stdout().as_fd().try_clone_to_owned(),
        Stream::Stderr => io::stderr().as_fd().try_clone_to_owned(),
    };
    Ok(File::from(duplicate().attempt(|| format!("duplicate {stream}"))?))
}

/// Starts the thread that writes to the log and to the host program's own stream.
///
/// It reads no faster than the stream takes it, and no further once the stream is closed: the process feels both, as if
/// it had the stream itself.
fn tee(mut from: File, mut out: File, mut log: Option<ToLog>) -> Result<Tee> {
    let thread = std::thread::Builder::new().name("plywood-tee".to_owned()).spawn(move || {
        let mut block = vec![0; TEE_BLOCK];
        loop {
            let length = match from.read(&mut block) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A terminal ends with an error.
                Err(_) => break,
            };
            if let Some(log) = &mut log {
                log.write(&block[..length]);
            }
            if out.write_all(&block[..length]).is_err() {
                break;
            }
        }
        if let Some(log) = &mut log {
            log.end();
        }
    });
    Ok(Tee(thread.attempt(|| "start a thread")?))
}
