//! A layer's directory as an archive, or what a tree has changed since it was copied: canonical, so that equal directories give equal digests.
//!
//! Names sorted by their bytes, directories before what is in them, ustar headers with PAX records where needed, hard
//! links to the first name of an inode, whiteouts in their archive spelling, times and attributes as they are. The root
//! has no entry, as in the layers that Docker makes.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::thread;

use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, DIRECTORY, DirEntry, FileKind, Metadata, READ, Time, Xattr};

use super::base::Base;
use super::entry::{Kind, padding};
use super::fault::{ArchiveFault, text};
use super::import::{OnPiece, extract_from, join as join_thread, spawn};
use super::path::{BadPath, join};
use super::record::record;
use super::ring::{Block, MarkKind, Pool, channel};
use super::sink::Sink;
use super::whiteout::{self, Meaning, is_overlay_state};
use super::write::Header;
use super::{Applied, ApplyOptions, Ownership};

/// Directories kept open on the way down; those above are opened again on the way up.
const OPEN_LEVELS: usize = 64;

/// Writes the directory `diff` as a canonical archive through the digest, and its `tar-split.json.gz`; `out`, if given,
/// gets the archive itself. With `base`, what the tree `diff` has changed since it was a copy of that tree.
///
/// The directory must not change meanwhile. Sockets are left out.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for what an archive cannot express: files named `.wh.…`, state of an
/// overlay that was mounted with `redirect_dir` or `metacopy`; and those of the file system and of the writers.
pub(crate) fn digest_layer(
    diff: &Path,
    base: Option<&Path>,
    tar_split: &mut dyn Write,
    out: Option<&mut dyn Write>,
    options: &ApplyOptions,
) -> Result<Applied> {
    let root = fs::open_directory(diff).attempt(|| format!("open {diff:?}"))?;
    let base = base.map(|base| Base::new(base, &root, options.xattrs)).transpose()?;
    thread::scope(|scope| {
        let (to_record, from_walk) = channel();
        let (to_walk, from_record) = channel();
        let recording = spawn(scope, "record", move || record(from_walk, to_walk))?;
        let mut sink = Sink::new(Pool::new(from_record), to_record, out, tar_split);
        let walked = Walk::new(&root, base.as_ref(), diff, options).run(&mut sink);
        // The walk's error comes first, but the recorder is awaited in any case.
        let ended = walked.and_then(|walked| sink.finish().map(|tar_split| (walked, tar_split)));
        let recorded = join_thread(recording);
        let ((size, entries), tar_split) = ended?;
        let recorded = recorded?;
        tar_split.write_all(&recorded.output).attempt(|| "write tar-split")?;
        Ok(Applied { diff_id: recorded.diff_id, size, entries })
    })
}

/// Copies the layer in the directory `from` into the empty directory `diff`: what [`digest_layer`] writes of the one,
/// [`import_layer`](super::import_layer) makes of it in the other.
///
/// # Errors
/// Those of both.
pub(crate) fn copy_layer(
    from: &Path,
    base: Option<&Path>,
    diff: &Path,
    tar_split: &mut dyn Write,
    options: &ApplyOptions,
    on_piece: OnPiece<'_>,
) -> Result<Applied> {
    let root = fs::open_directory(from).attempt(|| format!("open {from:?}"))?;
    let base = base.map(|base| Base::new(base, &root, options.xattrs)).transpose()?;
    let fill = |pool: Pool, next: SyncSender<Block>, spool: &mut dyn Write| {
        let mut sink = Sink::new(pool, next, None, spool);
        Walk::new(&root, base.as_ref(), from, options).run(&mut sink)?;
        sink.finish().map(drop)
    };
    extract_from(fill, diff, tar_split, options, on_piece)
}

struct Walk<'a> {
    root: &'a OwnedFd,
    /// What is the same there is left out.
    base: Option<&'a Base>,
    diff: &'a Path,
    options: &'a ApplyOptions,
    /// First name of every inode with several.
    links: HashMap<(u64, u64), Vec<u8>>,
    header: Vec<u8>,
    size: u64,
    entries: u64,
}

/// What a name is to the tree that is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
    /// There is nothing to compare with.
    New,
    /// It is the same, apart from what is in a directory.
    Same,
    /// It differs; what is in a directory may be the same.
    Changed,
    /// Only that tree has it.
    Gone,
}

/// A directory being listed.
struct Level {
    path: Vec<u8>,
    /// `None` while there are too many below it.
    directory: Option<OwnedFd>,
    /// Sorted backwards: the next name is at the end.
    names: Vec<DirEntry>,
    /// Whether the tree that is compared with has this directory.
    is_in_base: bool,
    /// It there; `None` while there are too many below it.
    below: Option<OwnedFd>,
    /// Of a directory that is the same: its header, written once something in it is not.
    held: Option<(Metadata, Vec<Xattr>)>,
}

impl Level {
    /// Opens the directory, which is closed where many are open.
    fn open(&mut self, root: &OwnedFd) -> std::io::Result<OwnedFd> {
        match self.directory.take() {
            Some(directory) => Ok(directory),
            None => fs::open_beneath(root, self.path.as_slice(), DIRECTORY),
        }
    }
}

impl<'a> Walk<'a> {
    fn new(root: &'a OwnedFd, base: Option<&'a Base>, diff: &'a Path, options: &'a ApplyOptions) -> Self {
        Self { root, base, diff, options, links: HashMap::new(), header: Vec::new(), size: 0, entries: 0 }
    }

    /// Returns Docker's size and the number of entries.
    fn run(mut self, sink: &mut Sink<'_, '_>) -> Result<(u64, u64)> {
        let root = fs::open_at(self.root, ".", DIRECTORY).attempt(|| format!("open {:?}", self.diff))?;
        if self.is_opaque(b"", &fs::list_xattrs(&root).attempt(|| self.say("read the attributes of", b""))?)? {
            self.opaque(sink, b"")?;
        }
        let mut levels = vec![self.level(Vec::new(), root, self.base.is_some())?];
        while let Some(level) = levels.last_mut() {
            let Some(next) = level.names.pop() else {
                levels.pop();
                continue;
            };
            let directory = level.open(self.root).attempt(|| self.say("open", &level.path))?;
            let path = join(&level.path, next.name.as_bytes());
            let against = match level.is_in_base {
                true => self.compare(level, &directory, &next.name)?,
                false => Against::New,
            };
            let is_directory = next.kind == FileKind::Directory;
            let mut held = None;
            let below = match against {
                Against::Same if is_directory => {
                    let opened = self.open_directory(&directory, &next.name, &path)?;
                    held = Some((opened.1, opened.2));
                    Some(opened.0)
                }
                Against::Same => None,
                Against::Gone => {
                    self.release(sink, &mut levels)?;
                    self.hiding(sink, &path)?;
                    None
                }
                Against::New | Against::Changed => {
                    self.release(sink, &mut levels)?;
                    self.file(sink, &directory, &next, &path)?
                }
            };
            let far = levels.len().checked_sub(OPEN_LEVELS);
            if let Some(level) = levels.last_mut() {
                level.directory = Some(directory);
            }
            if let Some(below) = below {
                if let Some(far) = far.and_then(|at| levels.get_mut(at)) {
                    (far.directory, far.below) = (None, None);
                }
                let mut level = self.level(path, below, matches!(against, Against::Same | Against::Changed))?;
                level.held = held;
                levels.push(level);
            }
        }
        sink.put(&[0; 1024])?;
        Ok((self.size, self.entries))
    }

    fn level(&self, path: Vec<u8>, directory: OwnedFd, is_in_base: bool) -> Result<Level> {
        let mut names = fs::read_directory(&directory).attempt(|| self.say("list", &path))?;
        let below = match is_in_base {
            true => self.below(&path)?,
            false => None,
        };
        if let Some(below) = &below {
            let known: HashSet<OsString> = names.iter().map(|entry| entry.name.clone()).collect();
            let old = fs::read_directory(below).attempt(|| self.say("list what is below", &path))?;
            names.extend(old.into_iter().filter(|entry| !known.contains(&entry.name)));
        }
        names.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        Ok(Level { path, directory: Some(directory), names, is_in_base: below.is_some(), below, held: None })
    }

    /// Writes one file; a directory is returned open, to be listed.
    fn file(
        &mut self,
        sink: &mut Sink<'_, '_>,
        directory: &OwnedFd,
        next: &DirEntry,
        path: &[u8],
    ) -> Result<Option<OwnedFd>> {
        let name = next.name.as_os_str();
        match self.options.xattrs.meaning(name.as_bytes()) {
            Meaning::Itself => {}
            Meaning::Hides(hidden) => {
                let (above, _) = super::path::split(path);
                return self.hiding(sink, &join(above, hidden)).map(|()| None);
            }
            // That the directory is opaque is said with it.
            Meaning::Opaque | Meaning::Ignored | Meaning::Malformed => return Ok(None),
        }
        if name.as_bytes().starts_with(whiteout::PREFIX) {
            return Err(ArchiveFault::layer(path, "names that begin with \".wh.\" mean deleted files in an archive"));
        }
        if path.len() > self.options.limits.path {
            return Err(BadPath::Long(self.options.limits.path).of(path, "path"));
        }
        match next.kind {
            FileKind::Regular => self.regular(sink, directory, name, path).map(|()| None),
            FileKind::Directory => self.directory(sink, directory, name, path).map(Some),
            FileKind::Socket => Ok(None),
            _ => self.special(sink, directory, name, path).map(|()| None),
        }
    }

    fn regular(&mut self, sink: &mut Sink<'_, '_>, directory: &OwnedFd, name: &OsStr, path: &[u8]) -> Result<()> {
        let file = fs::open_readable_at(directory, name, READ).attempt(|| self.say("open", path))?;
        let metadata = fs::stat(&file).attempt(|| self.say("stat", path))?;
        if metadata.kind != FileKind::Regular {
            return Err(ArchiveFault::layer(path, "it changed while it was read"));
        }
        if self.hard_link(sink, &metadata, path)? {
            return Ok(());
        }
        let xattrs =
            fs::list_readable_xattrs(&file, directory, name).attempt(|| self.say("read the attributes of", path))?;
        let xattrs = self.carried(path, xattrs)?;
        self.size += metadata.size;
        self.entry(sink, path, Kind::File, &metadata, b"", &xattrs)?;
        sink.mark(path, MarkKind::Content(metadata.size));
        if !sink.put_file(&file, metadata.size).attempt(|| self.say("read", path))? {
            return Err(ArchiveFault::layer(path, "it became shorter while it was read"));
        }
        let padding = usize::try_from(padding(metadata.size)).unwrap_or_default();
        sink.put(&[0; 512][..padding])
    }

    fn directory(&mut self, sink: &mut Sink<'_, '_>, parent: &OwnedFd, name: &OsStr, path: &[u8]) -> Result<OwnedFd> {
        let (directory, metadata, xattrs) = self.open_directory(parent, name, path)?;
        self.directory_entry(sink, path, &metadata, xattrs)?;
        Ok(directory)
    }

    fn open_directory(&self, parent: &OwnedFd, name: &OsStr, path: &[u8]) -> Result<(OwnedFd, Metadata, Vec<Xattr>)> {
        let directory = fs::open_readable_at(parent, name, DIRECTORY).attempt(|| self.say("open", path))?;
        let metadata = fs::stat(&directory).attempt(|| self.say("stat", path))?;
        let mut xattrs =
            fs::list_readable_xattrs(&directory, parent, name).attempt(|| self.say("read the attributes of", path))?;
        let spelling = self.options.xattrs;
        if spelling.reads_names()
            && spelling.is_opaque(&directory).attempt(|| self.say("read the attributes of", path))?
        {
            xattrs.retain(|(name, _)| name != spelling.opaque().as_bytes());
            xattrs.push((spelling.opaque().into(), b"y".to_vec()));
        }
        Ok((directory, metadata, xattrs))
    }

    fn directory_entry(
        &mut self,
        sink: &mut Sink<'_, '_>,
        path: &[u8],
        metadata: &Metadata,
        xattrs: Vec<Xattr>,
    ) -> Result<()> {
        let is_opaque = self.is_opaque(path, &xattrs)?;
        let xattrs = self.carried(path, xattrs)?;
        let with_slash = join(path, b"");
        self.entry(sink, &with_slash, Kind::Directory, metadata, b"", &xattrs)?;
        sink.mark(&with_slash, MarkKind::Raw);
        if is_opaque { self.opaque(sink, path) } else { Ok(()) }
    }

    /// Writes the headers that were held back, of the directories on the way to what is written next.
    fn release(&mut self, sink: &mut Sink<'_, '_>, levels: &mut [Level]) -> Result<()> {
        for level in levels {
            if let Some((metadata, xattrs)) = level.held.take() {
                self.directory_entry(sink, &level.path, &metadata, xattrs)?;
            }
        }
        Ok(())
    }

    /// The directory at `path` of the tree that is compared with.
    fn below(&self, path: &[u8]) -> Result<Option<OwnedFd>> {
        let Some(base) = self.base else { return Ok(None) };
        let path = if path.is_empty() { b".".as_slice() } else { path };
        match fs::open_readable_beneath(&base.root, path, DIRECTORY) {
            Err(error) if is_absent(&error) => Ok(None),
            opened => opened.map(Some).attempt(|| self.say("open what is below", path)),
        }
    }

    fn compare(&self, level: &mut Level, directory: &OwnedFd, name: &OsStr) -> Result<Against> {
        if level.below.is_none() {
            level.below = self.below(&level.path)?;
        }
        let (Some(base), Some(below)) = (self.base, &level.below) else { return Ok(Against::New) };
        match base.is_same(below, directory, name) {
            Ok(true) => Ok(Against::Same),
            Ok(false) => Ok(Against::Changed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Against::Gone),
            Err(error) => Err(error).attempt(|| self.say("compare", &join(&level.path, name.as_bytes()))),
        }
    }

    fn special(&mut self, sink: &mut Sink<'_, '_>, directory: &OwnedFd, name: &OsStr, path: &[u8]) -> Result<()> {
        let metadata = fs::stat_at(directory, name.as_bytes()).attempt(|| self.say("stat", path))?;
        if metadata.is_whiteout() {
            return self.hiding(sink, path);
        }
        if self.hard_link(sink, &metadata, path)? {
            return Ok(());
        }
        let kind = match metadata.kind {
            FileKind::Symlink => Kind::Symlink,
            FileKind::CharDevice => Kind::CharDevice,
            FileKind::BlockDevice => Kind::BlockDevice,
            FileKind::Fifo => Kind::Fifo,
            _ => return Err(ArchiveFault::layer(path, "it changed while it was read")),
        };
        let mut link = Vec::new();
        if kind == Kind::Symlink {
            link = fs::read_link_at(directory, name.as_bytes()).attempt(|| self.say("read link", path))?;
            self.size += link.len() as u64;
        }
        let xattrs = fs::list_xattrs_at(directory, name).attempt(|| self.say("read the attributes of", path))?;
        let xattrs = self.carried(path, xattrs)?;
        self.entry(sink, path, kind, &metadata, &link, &xattrs)?;
        sink.mark(path, MarkKind::Raw);
        Ok(())
    }

    /// Writes a link if the inode already has a name in the archive.
    fn hard_link(&mut self, sink: &mut Sink<'_, '_>, metadata: &Metadata, path: &[u8]) -> Result<bool> {
        if metadata.links < 2 {
            return Ok(false);
        }
        if let Some(first) = self.links.get(&metadata.identity) {
            let first = first.clone();
            self.entry(sink, path, Kind::HardLink, metadata, &first, &[])?;
            sink.mark(path, MarkKind::Raw);
            return Ok(true);
        }
        self.links.insert(metadata.identity, path.to_vec());
        Ok(false)
    }

    /// Writes that the name is gone.
    fn hiding(&mut self, sink: &mut Sink<'_, '_>, path: &[u8]) -> Result<()> {
        let (parent, name) = super::path::split(path);
        self.marker(sink, &join(parent, &[whiteout::PREFIX, name].concat()))
    }

    fn opaque(&mut self, sink: &mut Sink<'_, '_>, directory: &[u8]) -> Result<()> {
        self.marker(sink, &join(directory, whiteout::OPAQUE))
    }

    /// An empty file that means something; when and by whom it was made does not count.
    fn marker(&mut self, sink: &mut Sink<'_, '_>, path: &[u8]) -> Result<()> {
        let time = Time::default();
        self.header.clear();
        let (uid, gid, size, device) = (0, 0, 0, (0, 0));
        let header = Header {
            path,
            kind: Kind::File,
            link: b"",
            mode: 0o600,
            uid,
            gid,
            size,
            modified: time,
            device,
            xattrs: &[],
        };
        header.write(&mut self.header);
        sink.put(&self.header)?;
        sink.mark(path, MarkKind::Raw);
        self.entries += 1;
        Ok(())
    }

    fn entry(
        &mut self,
        sink: &mut Sink<'_, '_>,
        path: &[u8],
        kind: Kind,
        metadata: &Metadata,
        link: &[u8],
        xattrs: &[Xattr],
    ) -> Result<()> {
        let (uid, gid) = match self.options.ownership {
            Ownership::Keep | Ownership::Mapped => (metadata.uid, metadata.gid),
            // The caller is root in the container.
            Ownership::Flatten => (0, 0),
        };
        self.header.clear();
        let header = Header {
            path,
            kind,
            link,
            mode: metadata.mode,
            uid,
            gid,
            size: if kind == Kind::File { metadata.size } else { 0 },
            modified: metadata.modified,
            device: metadata.device,
            xattrs,
        };
        header.write(&mut self.header);
        self.entries += 1;
        sink.put(&self.header)
    }

    fn is_opaque(&self, path: &[u8], xattrs: &[Xattr]) -> Result<bool> {
        let value = |name: &str| xattrs.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| &value[..]);
        let prefix = self.options.xattrs.opaque().trim_end_matches("opaque");
        if value(&format!("{prefix}redirect")).is_some() {
            return Err(ArchiveFault::layer(path, "its content lies under another name (overlay redirect_dir)"));
        }
        Ok(value(self.options.xattrs.opaque()) == Some(b"y"))
    }

    /// The attributes that belong into an archive.
    fn carried(&self, path: &[u8], mut xattrs: Vec<Xattr>) -> Result<Vec<Xattr>> {
        let prefix = self.options.xattrs.opaque().trim_end_matches("opaque").as_bytes();
        if xattrs.iter().any(|(name, _)| name.strip_prefix(prefix) == Some(b"metacopy")) {
            return Err(ArchiveFault::layer(path, "its content lies in another layer (overlay metacopy)"));
        }
        xattrs.retain(|(name, _)| {
            !is_overlay_state(name) && !matches!(&name[..], b"security.selinux" | b"security.ima" | b"security.evm")
        });
        if let Some((name, _)) = xattrs.iter().find(|(name, _)| name.contains(&b'=')) {
            return Err(ArchiveFault::layer(path, format!("an archive cannot hold the attribute {:?}", text(name))));
        }
        Ok(xattrs)
    }

    fn say(&self, verb: &str, path: &[u8]) -> String {
        format!("{verb} {:?}", self.diff.join(OsStr::from_bytes(path)))
    }
}

/// Nothing is there, or something else than a directory.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(libc::ELOOP)
}
