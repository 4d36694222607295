//! The input of the runtime: a root file system, what is mounted over it, and the process to start.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cgroup::Cgroup;
use super::seccomp::SeccompProfile;
use super::shared_memory::SharedMemory;
use crate::spec::container_path::ContainerPath;
use crate::sys::capability::CapabilitySet;
use crate::sys::namespace;
use crate::sys::shared::SharedNetwork;
use crate::sys::userns::Namespace;

/// `PATH` of a process that has none of its own, as in Docker.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything that a container process needs, fully resolved.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    /// The root directory.
    pub rootfs: Rootfs,
    /// The name in the UTS namespace; empty leaves the host's.
    pub hostname: String,
    /// Mounted after the defaults (`/proc`, `/sys`, `/dev` and below), in this order.
    pub mounts: Vec<BundleMount>,
    /// Devices among the mounts, and what may be done with each; everything with others.
    pub devices: Vec<(PathBuf, u8)>,
    /// The first process.
    pub process: ProcessSpec,
    /// Which network it sees.
    pub network: NetworkMode,
    /// The network that it joins instead of having one of its own.
    pub joined: Option<Arc<SharedNetwork>>,
    /// The shared memory and message queues that it joins instead of having its own; both containers have the host's users.
    pub shared_memory: Option<Arc<SharedMemory>>,
    /// Refuses writes to the root file system; mounts stay as they are.
    pub read_only_rootfs: bool,
    /// All capabilities, nothing masked, `/proc` and `/sys` writable.
    pub privileged: bool,
    /// Of root's containers: the user namespace they are in. The layers and binds are shown to it with its ids, and what
    /// is written comes to belong to whom it belongs inside.
    pub user_namespace: Option<Arc<Namespace>>,
    /// Which of the pid, IPC, UTS and cgroup namespaces are the host's, as `CLONE_NEW*` bits.
    pub host_namespaces: u64,
    /// The pid namespace that it joins instead of having one of its own; both containers have the host's users.
    pub pids: Option<Arc<OwnedFd>>,
    /// How it differs from the default isolation.
    pub isolation: Isolation,
    /// Puts the helper in front of the process as process 1: it passes signals on and reaps orphans.
    pub init: bool,
    /// What it may take of the host. Without, it has no cgroup of its own.
    pub cgroup: Option<Cgroup>,
}

impl Bundle {
    /// A bundle with a private network and an init that runs `sh` as root until told otherwise.
    pub(crate) fn new(rootfs: Rootfs) -> Self {
        Self {
            rootfs,
            hostname: String::new(),
            mounts: Vec::new(),
            devices: Vec::new(),
            process: ProcessSpec::new(["sh"]),
            network: NetworkMode::Private,
            joined: None,
            shared_memory: None,
            read_only_rootfs: false,
            privileged: false,
            user_namespace: None,
            host_namespaces: 0,
            pids: None,
            isolation: Isolation::default(),
            init: true,
            cgroup: None,
        }
    }
}

impl Bundle {
    /// Whether the kernel does not end its processes with the first one: they are in a pid namespace of others.
    pub(super) fn shares_pids(&self) -> bool {
        self.pids.is_some() || self.host_namespaces & namespace::PID != 0
    }
}

/// How a container differs from the default isolation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Isolation {
    /// Absolute paths that are hidden; the documented ones by default.
    pub masked_paths: Option<Vec<String>>,
    /// Absolute paths that refuse writes; the documented ones by default.
    pub read_only_paths: Option<Vec<String>>,
    /// Of `/dev/shm`, in bytes; 64 MiB by default.
    pub shm_size: Option<u64>,
    /// Whether there is no `/dev/shm` at all.
    pub no_shared_memory: bool,
    /// Below `/proc/sys`, with dots for slashes, and what is written there. Each belongs to a namespace of the container.
    pub sysctls: Vec<(String, String)>,
    /// The NIS domain name in the UTS namespace; empty leaves the kernel's.
    pub domainname: String,
}

/// A limit of a process: setrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    /// For errors.
    pub name: &'static str,
    /// `RLIMIT_*`.
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// Where the root file system comes from.
#[derive(Debug, Clone)]
pub(crate) enum Rootfs {
    /// A stack of layers with a writable one on top, mounted in the container's mount namespace only.
    Overlay {
        /// Read-only directories, top first.
        lowers: Vec<PathBuf>,
        /// Takes the changes.
        upper: PathBuf,
        /// Beside `upper`, on the same file system.
        work: PathBuf,
        /// Skips syncing; `work` cannot be mounted a second time then.
        volatile: bool,
    },
    /// The same stack, which a program shows that runs beside the container.
    Served {
        /// The program: `fuse-overlayfs`.
        program: PathBuf,
        lowers: Vec<PathBuf>,
        upper: PathBuf,
        work: PathBuf,
        volatile: bool,
    },
    /// A directory used as it is.
    Directory(PathBuf),
}

impl Rootfs {
    /// A stack of layers that a program shows, or the kernel.
    pub(crate) fn stack(
        program: Option<&Path>,
        lowers: Vec<PathBuf>,
        [upper, work]: [PathBuf; 2],
        volatile: bool,
    ) -> Self {
        match program {
            Some(program) => Self::Served { program: program.to_owned(), lowers, upper, work, volatile },
            None => Self::Overlay { lowers, upper, work, volatile },
        }
    }

    /// Whether a program shows it.
    pub(super) fn is_served(&self) -> bool {
        matches!(self, Self::Served { .. })
    }

    /// It may be mounted again, by others.
    pub(crate) fn keep(&mut self) {
        match self {
            Self::Overlay { volatile, .. } | Self::Served { volatile, .. } => *volatile = false,
            Self::Directory(_) => {}
        }
    }
}

/// One mount over the root file system.
#[derive(Debug, Clone)]
pub(crate) struct BundleMount {
    /// What is mounted.
    pub source: BundleSource,
    /// Where; created if missing, links resolved inside the root.
    pub target: ContainerPath,
    /// Refuses writes, below submounts too.
    pub read_only: bool,
}

/// What a [`BundleMount`] mounts.
#[derive(Debug, Clone)]
pub(crate) enum BundleSource {
    /// A file or directory of the host, with what is mounted below it.
    Bind(PathBuf),
    /// Memory.
    Tmpfs {
        /// In bytes; half the memory by default.
        size: Option<u64>,
        /// Permissions of its root.
        mode: u32,
    },
}

/// Which network a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkMode {
    /// A namespace of its own with `lo`.
    Private,
    /// The host's.
    Host,
    /// A namespace of its own with `lo`, to which nothing will be connected.
    None,
}

/// One process of a container.
#[derive(Debug, Clone)]
pub(crate) struct ProcessSpec {
    /// Program and arguments. A program without `/` is looked for in the `PATH` of `env`.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; made by [`start`](super::start) if missing.
    pub cwd: ContainerPath,
    /// Who it runs as.
    pub user: ResolvedUser,
    /// What root may do in it; another user starts with none of them.
    pub capabilities: CapabilitySet,
    /// Keeps setuid programs from raising privileges.
    pub no_new_privileges: bool,
    /// Kills it when the host program ends, however that does.
    pub ends_with_program: bool,
    /// Which system calls it may make.
    pub seccomp: SeccompProfile,
    /// Limits that differ from the default.
    pub limits: Vec<Limit>,
    /// How readily the kernel kills it when memory runs out, -1000 to 1000; that of the host program by default.
    pub oom_score_adj: Option<i32>,
    /// Its sets of capabilities where they do not follow from `capabilities`, which is the bounding set then, and the user.
    pub capability_sets: Option<CapabilitySets>,
    /// Whether the limits that nobody asked for are set: open files and core files.
    pub default_limits: bool,
    /// Whether the user's group is one of its supplementary groups, as Docker has it.
    pub group_is_supplementary: bool,
    /// Whether it gets a session keyring of its own.
    pub keyring: bool,
    /// Which permissions new files lack.
    pub umask: u32,
}

/// What a process may do besides its bounding set: [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CapabilitySets {
    pub effective: CapabilitySet,
    pub permitted: CapabilitySet,
    pub inheritable: CapabilitySet,
    pub ambient: CapabilitySet,
}

impl CapabilitySets {
    /// These are effective, and nothing is inherited.
    pub(crate) const fn effective(set: CapabilitySet) -> Self {
        Self { effective: set, permitted: set, inheritable: CapabilitySet::NONE, ambient: CapabilitySet::NONE }
    }
}

impl ProcessSpec {
    /// A process in `/`, as root, with an empty environment and plywood's default capabilities.
    pub(crate) fn new<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: ContainerPath::root(),
            user: ResolvedUser::default(),
            capabilities: CapabilitySet::CONTAINER,
            no_new_privileges: true,
            ends_with_program: true,
            seccomp: SeccompProfile::Default,
            limits: Vec::new(),
            oom_score_adj: None,
            capability_sets: None,
            default_limits: true,
            group_is_supplementary: true,
            keyring: true,
            umask: 0o022,
        }
    }

    /// The value of a variable of `env`; the last one counts.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|entry| entry.split_once('=').filter(|(key, _)| *key == name)).map(|(_, v)| v)
    }
}

/// Numeric user, group and supplementary groups; root by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResolvedUser {
    /// User number in the container.
    pub uid: u32,
    /// Group number in the container.
    pub gid: u32,
    /// Supplementary groups, without `gid`. As an ordinary user of the host they are left out: one id is all there is.
    pub groups: Vec<u32>,
}
