//! What is read in the user namespace of this user and written by the caller, whose writer shall see nothing of that.

use std::io::{Read as _, Write};
use std::thread;

use crate::error::{Attempt as _, Result};
use crate::sys::userns::{self, Ids};
use crate::sys::within::{ENTER, within};

use super::import::{join, spawn};
use super::pipe::pipe;

/// Bytes written at once.
const PIECE: usize = 128 << 10;

/// Lets `make` write to `out` from where it may read files of all ids that this user has.
///
/// # Errors
/// Those of `make` and `out`.
pub(crate) fn relay(out: &mut dyn Write, make: impl FnOnce(&mut dyn Write) -> Result<()> + Send) -> Result<()> {
    if !matches!(userns::ids(), Ids::Many(_)) {
        return make(out);
    }
    thread::scope(|scope| {
        let (mut writer, mut reader) = pipe();
        let making = spawn(scope, "read", move || {
            let work = || {
                make(&mut writer)?;
                writer.finish().attempt(|| "write archive")
            };
            within(work).attempt(|| ENTER)?
        })?;
        let mut piece = vec![0; PIECE];
        let mut written = Ok(());
        // Whoever makes it knows why it ends early.
        while let (Ok(()), Ok(length @ 1..)) = (&written, reader.read(&mut piece)) {
            written = out.write_all(&piece[..length]).attempt(|| "write archive");
        }
        drop(reader);
        let made = join(making);
        written.and(made)
    })
}
