//! The import of a layer: three threads and the spool between them.

use std::io::{Read, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::thread::{self, ScopedJoinHandle};

use tempfile::SpooledTempFile;

use crate::error::{Attempt as _, Error, Result};
use crate::sys::fs;
use crate::sys::within::{ENTER, within};

use super::apply::extract;
use super::fault::ArchiveFault;
use super::record::record;
use super::ring::{Block, Pool, Tape, channel, feed};
use super::{Applied, ApplyOptions};

/// tar-split kept in memory; more goes to a nameless file beside the layer.
const SPOOL: usize = 4 << 20;
/// Our threads neither recurse nor keep buffers on the stack.
const STACK: usize = 256 << 10;

/// Extracts the uncompressed archive `tar` into the empty directory `diff` and writes its `tar-split.json.gz`.
///
/// Reads `tar` to its end, whatever follows the end marker. On failure the directory holds what was extracted so far.
///
/// # Errors
/// [`Corrupt`](crate::ErrorKind::Corrupt) for a malformed, incomplete or escaping archive,
/// [`LimitExceeded`](crate::ErrorKind::LimitExceeded), [`PermissionDenied`](crate::ErrorKind::PermissionDenied) for
/// device nodes without root, and those of the file system and of `tar`.
pub(crate) fn import_layer(
    tar: &mut dyn Read,
    diff: &Path,
    tar_split: &mut dyn Write,
    options: &ApplyOptions,
) -> Result<Applied> {
    let beside = diff.parent().unwrap_or(diff);
    // Opened now: the layer may forbid its owner to enter it.
    let root = within(|| fs::open_directory(diff)).attempt(|| ENTER)?.attempt(|| format!("open {diff:?}"))?;
    let mut spool = SpooledTempFile::new_in(SPOOL, beside);
    let (applied, saved) = thread::scope(|scope| {
        let (to_extract, from_reader) = channel();
        let (to_record, from_extract) = channel();
        let (to_reader, from_record) = channel();
        let tape = Tape::new(from_reader, to_record, options.limits.uncompressed);
        let extracting = spawn(scope, "extract", move || within(|| extract(tape, diff, options)).attempt(|| ENTER)?)?;
        let recording = spawn(scope, "record", move || record(from_extract, to_reader))?;
        let mut use_output = |output: &[u8]| spool.write_all(output).attempt(|| "write tar-split");
        let mut pool = Pool::new(from_record);
        let fed = feed_and_drain(tar, &mut pool, to_extract, &mut use_output);
        let fed = fed.and_then(|()| pool.drain(&mut use_output));
        // The reader's error comes first: the others only saw the archive end.
        let (extracted, recorded) = (join(extracting), join(recording));
        fed?;
        let (extracted, recorded) = (extracted?, recorded?);
        spool.write_all(&recorded.output).attempt(|| "write tar-split")?;
        let applied = Applied { diff_id: recorded.diff_id, size: extracted.size, entries: extracted.entries };
        Ok::<_, Error>((applied, extracted.saved))
    })?;
    match saved {
        Some(saved) => within(|| saved.rewrite(&mut spool, &root, tar_split)).attempt(|| ENTER)??,
        None => {
            spool.seek(SeekFrom::Start(0)).attempt(|| "read tar-split again")?;
            std::io::copy(&mut spool, tar_split).attempt(|| "write tar-split")?;
        }
    }
    Ok(applied)
}

/// Takes the sender, so that the extracting thread sees the end.
fn feed_and_drain(
    tar: &mut dyn Read,
    pool: &mut Pool,
    next: SyncSender<Block>,
    use_output: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    feed(tar, pool, &next, use_output)
}

/// Starts a thread of ours.
pub(super) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let builder = thread::Builder::new().name(format!("plywood-{name}")).stack_size(STACK);
    builder.spawn_scoped(scope, work).attempt(|| "start a thread for the layer")
}

/// The result of a thread of ours.
pub(super) fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(ArchiveFault::Stopped.into()))
}
