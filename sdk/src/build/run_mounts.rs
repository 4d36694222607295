//! What is mounted while a `RUN` runs, and is no part of the layer it makes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plywood_syntax::ignore::Ignore;

use crate::data_root::{InFlight, atomic};
use crate::error::{Attempt as _, Error, ErrorKind, Fault, Result};
use crate::image::MountKind;
use crate::layer::view::View;
use crate::layer::{LayerStore, StagedLayer};
use crate::runtime::{BundleMount, BundleSource, NetworkMode};
use crate::spec::{ByteSize, ContainerPath, Digest};
use crate::sys::userns::keeps_owners;

use super::cache;
use super::copy::copy_contents;
use super::run::{MountSource, Scene, extra_mounts, network, set_mode};
use super::state::{MountWork, RunWork};
use super::writer::{Attributes, Writer};

/// Where a script that is a program of its own is mounted, as in a Docker build.
pub(super) const PROGRAM: &str = "/dev/pipes/EOF";
/// How long a `RUN` waits for another one that has the cache it wants for itself.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The temporary files of one `RUN`; removed when dropped, or by the next open of the store.
#[derive(Debug)]
pub(super) struct Scratch {
    staged: StagedLayer,
    /// Variables with secrets.
    secrets: Vec<(String, String)>,
    /// Caches that nobody else may use meanwhile.
    held: Vec<InFlight>,
}

#[derive(Debug, thiserror::Error)]
enum MountFault {
    #[error("RUN --mount=type=secret: no secret {0:?} was given to this build")]
    NoSecret(String),
    #[error("RUN --mount=type=secret: it needs an id")]
    NoId,
    #[error("RUN --mount=type={0}: not supported")]
    Unsupported(&'static str),
    #[error("RUN --mount: {key}={value}: {why}")]
    Value { key: &'static str, value: String, why: &'static str },
}

impl Fault for MountFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSecret(_) => ErrorKind::NotFound,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSecret(id) => Some(format!("give it with build::Options::secret({id:?}, file)")),
            _ => None,
        }
    }
}

impl Scratch {
    pub(super) fn new(layers: &LayerStore) -> Result<Self> {
        Ok(Self { staged: layers.stage(None)?, secrets: Vec::new(), held: Vec::new() })
    }

    /// Makes a directory.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.staged.diff().join(name);
        atomic::create_directory(&path, 0o755)?;
        Ok(path)
    }

    /// Variables with secrets.
    pub(super) fn secrets(&self) -> &[(String, String)] {
        &self.secrets
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) -> Result<PathBuf> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.staged.diff().join(name);
        let create = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        create.and_then(|mut file| file.write_all(content)).attempt(|| format!("write {path:?}"))?;
        set_mode(&path, mode)?;
        Ok(path)
    }
}

/// Prepares all mounts of a `RUN`: the caller's, the instruction's, and the files that name hosts.
pub(super) fn prepare(scene: &Scene<'_>, work: &RunWork<'_>, scratch: &mut Scratch) -> Result<Vec<BundleMount>> {
    let mut mounts = host_files(network(work, scene.options)?, scratch)?;
    if let Some(script) = work.program {
        // Its last line has an end, which the definition leaves out.
        let source = BundleSource::Bind(scratch.file("program", format!("{script}\n").as_bytes(), 0o755)?);
        mounts.push(BundleMount { source, target: ContainerPath::parse(PROGRAM)?, read_only: true });
    }
    mounts.extend(extra_mounts(scene.options)?);
    for (index, (mount, source)) in work.mounts.iter().zip(&scene.sources).enumerate() {
        mounts.extend(one(scene, mount, source.as_ref(), index, scratch)?);
    }
    Ok(mounts)
}

/// `/etc/hosts` and, with the host's network, `/etc/resolv.conf`. Programs may write to them; nothing of it is kept.
fn host_files(network: NetworkMode, scratch: &Scratch) -> Result<Vec<BundleMount>> {
    let mut files = Vec::new();
    let mut add = |name: &str, target: &str, content: &[u8]| -> Result<()> {
        let source = BundleSource::Bind(scratch.file(name, content, 0o644)?);
        files.push(BundleMount { source, target: ContainerPath::parse(target)?, read_only: false });
        Ok(())
    };
    match network {
        NetworkMode::Host => {
            for (name, target) in [("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")] {
                // A host without one has no use for it.
                if let Ok(content) = std::fs::read(target) {
                    add(name, target, &content)?;
                }
            }
        }
        NetworkMode::Private | NetworkMode::None => {
            add("hosts", "/etc/hosts", b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")?;
        }
    }
    Ok(files)
}

fn one(
    scene: &Scene<'_>,
    work: &MountWork<'_>,
    source: Option<&MountSource>,
    index: usize,
    scratch: &mut Scratch,
) -> Result<Option<BundleMount>> {
    let mount = work.mount;
    let is_read_only = mount.get("readonly").map(|text| text == "true");
    let (source, read_only) = match (mount.kind(), source) {
        (MountKind::Bind, Some(source)) => {
            let read_only = is_read_only.unwrap_or(true);
            (BundleSource::Bind(bind(scene, source, read_only, index, scratch)?), read_only)
        }
        (MountKind::Cache, _) => {
            if mount.base().is_some() {
                return Err(MountFault::Unsupported("cache,from=…").into());
            }
            (BundleSource::Bind(cache_directory(scene, work, scratch)?), is_read_only.unwrap_or(false))
        }
        (MountKind::Tmpfs, _) => {
            let size = mount.get("size").map(ByteSize::parse).transpose()?.map(ByteSize::as_u64);
            (BundleSource::Tmpfs { size, mode: 0o1777 }, false)
        }
        (MountKind::Secret, _) => match secret(scene, work, index, scratch)? {
            Some(path) => (BundleSource::Bind(path), true),
            None => return Ok(None),
        },
        (kind, _) => return Err(MountFault::Unsupported(kind.as_str()).into()),
    };
    Ok(work.target.clone().map(|target| BundleMount { source, target, read_only }))
}

/// What to bind: the files themselves where that is safe, else a copy of them.
fn bind(scene: &Scene<'_>, source: &MountSource, read_only: bool, index: usize, scratch: &Scratch) -> Result<PathBuf> {
    if let (true, Some(path)) = (read_only, source.tree.direct(&source.entry)) {
        return Ok(path);
    }
    let directory = scratch.directory(&format!("mount-{index}"))?;
    let xattrs = scene.layers.xattrs();
    let view = View::new(vec![directory.clone()], xattrs);
    let below = View::new(Vec::new(), xattrs);
    let mut writer = Writer::new(view, &below, &directory, keeps_owners())?;
    let owner = (!source.keeps_owners).then_some((0, 0));
    let attributes = Attributes { owner, mode: None };
    let (tree, entry) = (&*source.tree, &source.entry);
    if entry.is_directory() {
        copy_contents(tree, entry, Path::new(""), &Ignore::default(), &attributes, &mut writer)?;
        writer.finish()?;
        return Ok(directory);
    }
    writer.put(tree, entry, Path::new(""), "file".as_ref(), &attributes)?;
    writer.finish()?;
    Ok(directory.join("file"))
}

/// The directory of a cache, made if it is new. Its name is a digest: what a definition says is no path here.
fn cache_directory(scene: &Scene<'_>, work: &MountWork<'_>, scratch: &mut Scratch) -> Result<PathBuf> {
    let root = scene.layers.root();
    let target = work.target.as_ref().map(ContainerPath::as_str).unwrap_or_default();
    let digest = Digest::of(work.id.as_deref().unwrap_or(target).as_bytes());
    let parent = cache::mounts(root);
    atomic::create_directory(&root.build_cache_dir(), 0o700)?;
    atomic::create_directory(&parent, 0o700)?;
    let name = match work.mount.get("sharing").unwrap_or("shared") {
        "shared" => digest.hex().to_owned(),
        "locked" => {
            scratch.held.push(root.in_flight(&format!("pin-cache-{}", digest.hex()), PATIENCE)?);
            digest.hex().to_owned()
        }
        "private" => {
            let mut number = 0;
            loop {
                let name = format!("{}-{number}", digest.hex());
                match root.in_flight(&format!("pin-cache-{name}"), Duration::ZERO) {
                    Ok(held) => scratch.held.push(held),
                    // Someone else has it.
                    Err(error) if error.kind() == ErrorKind::Timeout => {
                        number += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                break name;
            }
        }
        other => {
            let why = "expected shared, private or locked";
            return Err(MountFault::Value { key: "sharing", value: other.to_owned(), why }.into());
        }
    };
    let path = parent.join(name);
    if !path.is_dir() {
        atomic::create_directory(&path, 0o755)?;
        own(&path, work, 0o755)?;
    }
    Ok(path)
}

/// A file with a secret; none if it was not given and need not be, or is wanted in a variable only.
fn secret(scene: &Scene<'_>, work: &MountWork<'_>, index: usize, scratch: &mut Scratch) -> Result<Option<PathBuf>> {
    let id = work.id.clone().or_else(|| {
        // As in Docker: named after the file it becomes.
        work.target.as_ref().and_then(|target| target.file_name().map(str::to_owned))
    });
    let id = id.ok_or(MountFault::NoId)?;
    let Some(file) = scene.options.secrets.get(&id) else {
        return match work.mount.get("required") {
            Some("true") => Err(MountFault::NoSecret(id).into()),
            _ => Ok(None),
        };
    };
    let content = std::fs::read(file).attempt(|| format!("read secret {id:?} from {file:?}"))?;
    if let Some(name) = work.mount.get("env") {
        let value = String::from_utf8(content.clone()).map_err(|_| {
            Error::new(ErrorKind::InvalidArgument, format!("secret {id:?} is not text, so it cannot be a variable"))
        })?;
        scratch.secrets.push((name.to_owned(), value));
        if work.mount.get("target").is_none() {
            return Ok(None);
        }
    }
    let path = scratch.file(&format!("secret-{index}"), &content, 0o400)?;
    own(&path, work, 0o400)?;
    Ok(Some(path))
}

/// Gives a file of ours the owner and mode that a mount asks for.
fn own(path: &Path, work: &MountWork<'_>, mode: u32) -> Result<()> {
    let number = |key: &'static str, radix| -> Result<Option<u32>> {
        let Some(text) = work.mount.get(key) else { return Ok(None) };
        let number = u32::from_str_radix(text.trim_start_matches("0o"), radix);
        let value = || MountFault::Value { key, value: text.to_owned(), why: "expected a number" };
        number.map(Some).map_err(|_| value().into())
    };
    let (uid, gid) = (number("uid", 10)?, number("gid", 10)?);
    if keeps_owners() && (uid.is_some() || gid.is_some()) {
        std::os::unix::fs::chown(path, uid, gid).attempt(|| format!("set the owner of {path:?}"))?;
    }
    set_mode(path, number("mode", 8)?.unwrap_or(mode) & 0o7777)
}
