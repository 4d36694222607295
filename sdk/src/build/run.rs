//! `RUN`: a program on top of the layers so far; what it changes becomes the next layer.
//!
//! ```text
//! scratch/            thrown away afterwards
//! ├── lower/          mount points that the image lacks: the topmost lower directory, so that none enters the layer
//! ├── hosts …         files that are mounted for this program only
//! └── mount-<n>/      copies of what is mounted and may be written to, or has parts that are left out
//! ```

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::container::reaper::ProcessToBe;
use crate::container::resources::Resources;
use crate::container::{self, user::resolve_user};
use crate::error::{Attempt as _, Error, ErrorKind, Fault, Result};
use crate::image::MountKind;
use crate::layer::view::View;
use crate::layer::{LayerStore, StagedLayer};
use crate::logs::Stream;
use crate::runtime::cgroup::Cgroup;
use crate::runtime::{self, Bundle, BundleMount, BundleSource, Input, NetworkMode, Output, Process, Rootfs, Stdio};
use crate::spec::{ChainId, ContainerId, ContainerPath, ExitStatus, mount};
use crate::sys::fs::{self, FileKind};
use crate::sys::userns::keeps_owners;
use crate::sys::within::{ENTER, within};

use super::options::Options;
use super::output::Pipes;
use super::run_mounts::{self, Scratch};
use super::state::RunWork;
use super::tree::{Entry, Tree};
use super::writer::Writer;

/// The name that programs see; it is the same for all, so that nothing in a layer depends on it.
const HOSTNAME: &str = "build";

/// What is mounted over every root file system, as the runtime does by default.
const DEFAULT_TARGETS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Where a program runs.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub layers: &'a LayerStore,
    pub parent: Option<ChainId>,
    pub options: &'a Options,
    /// What each mount of the instruction that has a source mounts.
    pub sources: Vec<Option<MountSource>>,
}

/// A file or directory to mount.
#[derive(Debug, Clone)]
pub(super) struct MountSource {
    pub tree: Rc<dyn Tree>,
    pub entry: Entry,
    /// Whether its owners are meant; those of a build context are not.
    pub keeps_owners: bool,
}

#[derive(Debug, thiserror::Error)]
enum RunFault {
    #[error("{step}: failed ({status}){output}")]
    Failed { step: String, status: ExitStatus, output: String },
    #[error("RUN --network={0}: unknown network (expected default, none or host)")]
    UnknownNetwork(String),
    #[error("RUN --network=host: the network of the host is not granted to this build")]
    HostNetwork,
}

impl Fault for RunFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Failed { .. } => ErrorKind::Failed,
            Self::UnknownNetwork(_) => ErrorKind::InvalidArgument,
            Self::HostNetwork => ErrorKind::PermissionDenied,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::HostNetwork => Some("grant it with build::Options::network(NetworkMode::Host)".to_owned()),
            _ => None,
        }
    }
}

/// The network that a program sees: what it asks for, as far as the caller grants it.
pub(super) fn network(work: &RunWork<'_>, options: &Options) -> Result<NetworkMode> {
    let granted = match options.network {
        container::NetworkMode::Private => NetworkMode::Private,
        container::NetworkMode::Host => NetworkMode::Host,
        container::NetworkMode::None => NetworkMode::None,
    };
    match work.network.as_deref() {
        Some("none") => Ok(NetworkMode::None),
        None | Some("default") => Ok(granted),
        Some("host") if granted == NetworkMode::Host => Ok(granted),
        Some("host") => Err(RunFault::HostNetwork.into()),
        Some(other) => Err(RunFault::UnknownNetwork(other.to_owned()).into()),
    }
}

/// What a program has made.
#[derive(Debug)]
pub(super) struct Ran {
    /// The layer, which is not published yet.
    pub staged: StagedLayer,
    /// `Failed`, with the exit code and the last lines of output, if it has.
    pub failure: Option<Error>,
}

/// Runs the program. Nothing is left behind by one that cannot be started.
pub(super) fn run(
    scene: &Scene<'_>,
    work: &RunWork<'_>,
    step: &str,
    tell: &mut dyn FnMut(Stream, &str),
) -> Result<Ran> {
    let layers = scene.layers;
    let below = layers.view(scene.parent.as_ref())?;
    let user = within(|| resolve_user(&below, &work.user)).attempt(|| ENTER)??;
    let staged = layers.stage(scene.parent.as_ref())?;
    let mut scratch = Scratch::new(layers)?;
    let mounts = within(|| run_mounts::prepare(scene, work, &mut scratch)).attempt(|| ENTER)??;
    let network = network(work, scene.options)?;

    let points = || mount_points(layers, scene.parent.as_ref(), &below, &scratch, &mounts);
    let lower = within(points).attempt(|| ENTER)??;
    let upper = staged.diff().to_owned();
    let rootfs = match staged.work() {
        Some(work) => {
            let mut lowers = vec![lower.clone()];
            lowers.extend(layers.lowers(scene.parent.as_ref())?);
            if scene.parent.is_none() {
                // A layer at the bottom has none: nothing but this mount needs it.
                std::fs::create_dir(work).attempt(|| format!("create {work:?}"))?;
            }
            // The layer is synced as a whole when it is published.
            Rootfs::stack(layers.program(), lowers, [upper, work.to_owned()], true)
        }
        None => Rootfs::Directory(upper),
    };
    let mut bundle = Bundle::new(rootfs);
    // A step that leaves processes behind has ended; what is sent to it is SIGKILL.
    bundle.init = false;
    bundle.hostname = HOSTNAME.to_owned();
    bundle.network = network;
    bundle.mounts = mounts;
    bundle.process.args = work.args.clone();
    if let (Some(_), Some(script)) = (work.program, bundle.process.args.last_mut()) {
        run_mounts::PROGRAM.clone_into(script);
    }
    bundle.process.env = environment(work, &user.home, scratch.secrets());
    bundle.process.cwd = work.directory.clone();
    bundle.process.user = user.user;

    if scene.options.resources != Resources::default() {
        let limits = scene.options.resources.limits()?;
        bundle.cgroup = Some(Cgroup { name: ContainerId::random()?.as_str().to_owned(), limits, statistics: false });
    }
    let failure = execute(&bundle, step, tell)?;
    match staged.work() {
        Some(work) => {
            clear_work(work)?;
            if scene.parent.is_none() {
                std::fs::remove_dir(work).attempt(|| format!("remove {work:?}"))?;
            }
        }
        None => within(|| remove_mount_points(&lower, &below, staged.diff())).attempt(|| ENTER)??,
    }
    Ok(Ran { staged, failure })
}

/// Removes what overlay left beside the layer: a directory that not even its owner may read, and the mark of a mount
/// without syncing, which would forbid another one.
fn clear_work(work: &Path) -> Result<()> {
    let attempt = || format!("clear {work:?}");
    let work = fs::open_directory(work).attempt(attempt)?;
    for entry in fs::read_directory(&work).attempt(attempt)? {
        fs::remove_tree(&work, &entry.name).attempt(attempt)?;
    }
    Ok(())
}

/// Runs the program to its end; how it failed, if it has.
fn execute(bundle: &Bundle, step: &str, tell: &mut dyn FnMut(Stream, &str)) -> Result<Option<Error>> {
    let (mut pipes, out, err) = Pipes::new().attempt(|| "make pipes for the output of a program")?;
    let stdio = Stdio { stdin: Input::Null, stdout: Output::Fd(out), stderr: Output::Fd(err) };
    // What it leaves in the file system is swept up; its cgroup would stay.
    let doomed = bundle.cgroup.as_ref().and_then(|cgroup| ProcessToBe::in_cgroup(&cgroup.name));
    let process = match &doomed {
        None => runtime::start(bundle, stdio, Box::new(|_| {})),
        Some(doomed) => {
            let created: runtime::Hook<'_> = Box::new(|_, pidfd| {
                doomed.tell(pidfd);
                Ok(())
            });
            let hooks = runtime::Hooks { created: Some(created), ..runtime::Hooks::default() };
            runtime::start_with(bundle, stdio, hooks, Box::new(|_| {}))
        }
    };
    let process = Killed(process?);
    pipes.drain(tell).attempt(|| "read the output of a program")?;
    let status = process.0.wait();
    if status.success() {
        return Ok(None);
    }
    let last = pipes.into_last();
    let output = match last.len() {
        0 => String::new(),
        _ => format!("\n  last lines of output:\n    {}", last.join("\n    ")),
    };
    Ok(Some(RunFault::Failed { step: step.to_owned(), status, output }.into()))
}

/// Ends the program with this value: neither an error nor a panic of a callback leaves it running on a directory that
/// is about to be removed.
struct Killed(Process);

impl Drop for Killed {
    fn drop(&mut self) {
        if self.0.is_running() {
            // It may have ended just now.
            let _ = self.0.signal(libc::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

fn environment(work: &RunWork<'_>, home: &str, secrets: &[(String, String)]) -> Vec<String> {
    let mut env = work.env.clone();
    env.extend(work.proxies.iter().cloned());
    if super::state::variable(&env, "HOME").is_none() {
        env.push(format!("HOME={home}"));
    }
    for (name, value) in secrets {
        super::state::set_variable(&mut env, name, value);
    }
    env
}

/// Removes from a layer that holds everything the mount points in the directory `lower` that the image lacks, unless the
/// program has put something into them.
fn remove_mount_points(lower: &Path, below: &View, layer: &Path) -> Result<()> {
    let attempt = || format!("remove the mount points from {layer:?}");
    let layer = fs::open_directory(layer).attempt(attempt)?;
    let (mut pending, mut found) = (vec![PathBuf::new()], Vec::new());
    while let Some(directory) = pending.pop() {
        for entry in
            fs::read_directory(fs::open_directory(&lower.join(&directory)).attempt(attempt)?).attempt(attempt)?
        {
            let path = directory.join(entry.name);
            if below.lookup_os(&path)?.is_none() {
                found.push((path.clone(), entry.kind));
            }
            if entry.kind == FileKind::Directory {
                pending.push(path);
            }
        }
    }
    // What is in a directory was found after it.
    for (path, kind) in found.iter().rev() {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        // The program may have made something else of it, or of a directory above.
        let Ok(parent) = fs::open_beneath(&layer, parent, fs::DIRECTORY) else { continue };
        let Ok(metadata) = fs::stat_at(&parent, name.as_bytes()) else { continue };
        if metadata.kind == *kind && *kind == FileKind::Directory {
            fs::remove_empty_at(&parent, name.as_bytes()).attempt(attempt)?;
        } else if metadata.kind == *kind && metadata.size == 0 {
            fs::unlink_at(&parent, name.as_bytes()).attempt(attempt)?;
        }
    }
    Ok(())
}

/// Makes a directory with the mount points that the image lacks, to lie under the new layer.
fn mount_points(
    layers: &LayerStore,
    parent: Option<&ChainId>,
    below: &View,
    scratch: &Scratch,
    mounts: &[BundleMount],
) -> Result<PathBuf> {
    let lower = scratch.directory("lower")?;
    let view = layers.view_with_upper(parent, &lower)?;
    let mut writer = Writer::new(view, below, &lower, keeps_owners())?;
    for target in DEFAULT_TARGETS {
        writer.directory(Path::new(target), None)?;
    }
    for mount in mounts {
        let target = Path::new(mount.target.as_str());
        let is_file = match &mount.source {
            BundleSource::Bind(source) => !source.is_dir(),
            BundleSource::Tmpfs { .. } => false,
        };
        if !is_file {
            writer.directory(target, None)?;
        } else if let (directory, Some(name)) = writer.place(target, None)?
            && writer.existing(&directory, &name)?.is_none()
        {
            writer.put_text("", &directory, &name, &Default::default())?;
        }
    }
    writer.finish()?;
    Ok(lower)
}

/// The mounts that the caller's options ask for.
pub(super) fn extra_mounts(options: &Options) -> Result<Vec<BundleMount>> {
    options.mounts.iter().map(extra_mount).collect()
}

fn extra_mount(mount: &crate::spec::Mount) -> Result<BundleMount> {
    mount.check()?;
    let target: ContainerPath = mount.target().path()?;
    let source = match mount.source() {
        mount::Source::Bind(path) => {
            let attempt = || format!("mount {path:?} on {:?} for a build", target.as_str());
            let path = std::path::absolute(path).attempt(attempt)?;
            std::fs::metadata(&path).attempt(attempt)?;
            BundleSource::Bind(path)
        }
        mount::Source::Tmpfs { size, mode } => {
            BundleSource::Tmpfs { size: size.map(|size| size.as_u64()), mode: *mode }
        }
        mount::Source::Volume(_) | mount::Source::Anonymous => {
            let message = format!("mount {mount} for a build: volumes are for containers");
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("bind a directory of the host, or write RUN --mount=type=cache"));
        }
    };
    Ok(BundleMount { source, target, read_only: mount.is_read_only() })
}

/// Whether a mount of the instruction has a source in a tree.
pub(super) fn has_source(kind: MountKind) -> bool {
    kind == MountKind::Bind
}

/// Sets the permissions of a file of ours, whatever the umask.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .attempt(|| format!("set the mode of {path:?}"))
}
