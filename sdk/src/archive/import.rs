//! What becomes a layer's directory: three threads and the spool between them.

use std::io::{Read, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::thread::{self, ScopedJoinHandle};

use tempfile::SpooledTempFile;

use crate::error::{Attempt as _, Error, ErrorKind, Result};
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
/// `on_piece` is called each time that some [`PIECE`](super::apply::PIECE) more has passed.
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
    on_piece: OnPiece<'_>,
) -> Result<Applied> {
    let fill = |mut pool: Pool, next: SyncSender<Block>, spool: &mut dyn Write| {
        let mut use_output = |output: &[u8]| spool.write_all(output).attempt(|| "write tar-split");
        feed(tar, &mut pool, &next, &mut use_output)?;
        // So that the extracting thread sees the end.
        drop(next);
        pool.drain(&mut use_output)
    };
    extract_from(fill, diff, tar_split, options, on_piece)
}

/// Called by the extracting thread.
pub(crate) type OnPiece<'a> = &'a (dyn Fn() + Sync);

/// Extracts the archive that `fill` puts into blocks; it is given the place for the tar-split that comes back with them.
pub(super) fn extract_from(
    fill: impl FnOnce(Pool, SyncSender<Block>, &mut dyn Write) -> Result<()>,
    diff: &Path,
    tar_split: &mut dyn Write,
    options: &ApplyOptions,
    on_piece: OnPiece<'_>,
) -> Result<Applied> {
    let beside = diff.parent().unwrap_or(diff);
    // Opened now: the layer may forbid its owner to enter it.
    let root = within(|| fs::open_directory(diff)).attempt(|| ENTER)?.attempt(|| format!("open {diff:?}"))?;
    let mut spool = SpooledTempFile::new_in(SPOOL, beside);
    let (applied, saved) = thread::scope(|scope| {
        let (to_extract, from_filler) = channel();
        let (to_record, from_extract) = channel();
        let (to_filler, from_record) = channel();
        let tape = Tape::new(from_filler, to_record, options.limits.uncompressed);
        let extracting =
            spawn(scope, "extract", move || within(|| extract(tape, diff, options, on_piece)).attempt(|| ENTER)?)?;
        let recording = spawn(scope, "record", move || record(from_extract, to_filler))?;
        let filled = fill(Pool::new(from_record), to_extract, &mut spool);
        let (extracted, recorded) = (join(extracting), join(recording));
        // Of an archive that ends early the extracting thread only sees that, and the filler knows why. Whatever else stops
        // that thread stops the filler, who does not know why.
        if extracted.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Corrupt) {
            filled?;
        }
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
