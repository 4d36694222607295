//! What a container shares with the host, and what it has for itself.

use super::Definition;
use crate::container::ipc::IpcMode;
use crate::container::namespaces::{NamespaceChoice, NamespaceMode, UserNamespace};

impl<D> Definition<D> {
    /// Whose users it has. Default: what the engine [says](crate::Engine::user_namespace), the host's for root.
    ///
    /// With [`UserNamespace::Private`] its users, root included, are ids of the host that nobody else has: one range of
    /// 65536 for each data root. A process that breaks out of the container is nobody. Files are not touched by it: in
    /// layers, volumes and binds they belong on disk to whom they belong inside, by mounts that map the ids. That takes a
    /// file system that can map them (ext4, xfs, btrfs; since Linux 6.3 tmpfs): it is an error of `start` where the data
    /// root or a bind is on another. Devices cannot be made in it, and a [privileged](Self::privileged) container
    /// cannot have it.
    ///
    /// ```no_run
    /// # use plywood::{Container, Engine, container::UserNamespace};
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = Engine::open_default()?;
    /// let web = Container::of("nginx:1").user_namespace(UserNamespace::Private).start(&engine)?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "--userns")]
    #[doc(alias = "userns-remap")]
    pub fn user_namespace(mut self, user_namespace: UserNamespace) -> Self {
        self.settings.user_namespace = Some(user_namespace);
        self
    }

    /// Whose System V IPC objects, POSIX message queues and `/dev/shm` it has. Default: its own, for nobody else.
    ///
    /// **Dangerous** with [`IpcMode::Host`](crate::container::IpcMode::Host): root in the container reads, changes and
    /// removes the shared memory of all processes of the host. [`shm_size`](Self::shm_size), and kernel parameters of this
    /// namespace, are refused when it is not the container's own:
    /// [`ipc_namespaces(7)`](https://man7.org/linux/man-pages/man7/ipc_namespaces.7.html).
    ///
    /// Another container's are shared if that one is [`Shareable`](crate::container::IpcMode::Shareable), runs when this one
    /// starts, and both have the host's users: for an ordinary user it is an error of `start`. With a restart policy it is
    /// one of `create`.
    ///
    /// ```no_run
    /// # use plywood::{Container, Engine, container::IpcMode};
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = Engine::open_default()?;
    /// let source = Container::of("camera:1").ipc_namespace(IpcMode::Shareable).start(&engine)?;
    /// let viewer = Container::of("viewer:1").ipc_namespace(&source).start(&engine)?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "--ipc")]
    pub fn ipc_namespace(mut self, choice: impl Into<NamespaceChoice<IpcMode>>) -> Self {
        self.settings.ipc_namespace = choice.into();
        self
    }

    /// Among whose processes its own are. Default: among none; its first process is process 1 there, and when that ends the
    /// kernel ends all the others.
    ///
    /// **Dangerous** with [`NamespaceMode::Host`]: it sees the command lines of all processes of the host, and root in it
    /// signals them all, plywood's own included: [`pid_namespaces(7)`](https://man7.org/linux/man-pages/man7/pid_namespaces.7.html).
    /// In a user namespace it can signal those only that belong to its users.
    ///
    /// With another container, which must run when this one starts, each sees and signals the processes of the other, and
    /// this one ends with it. Both must have the host's users: for an ordinary user it is an error of `start`. With a restart
    /// policy it is one of `create`.
    ///
    /// Since no process 1 takes its processes along, a container that is not among its own is in a cgroup of version 2, whose
    /// processes the kernel kills at its end: it takes Linux 5.14 and, as an ordinary user, a cgroup that was handed to the
    /// user. Without, it is an error of `start`. A [privileged](Self::privileged) one can leave that cgroup, and the
    /// container, for good.
    ///
    /// ```no_run
    /// # use plywood::{Container, Engine, container::NamespaceMode};
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = Engine::open_default()?;
    /// let monitor = Container::of("monitor:1").pid_namespace(NamespaceMode::Host).start(&engine)?;
    /// let web = Container::of("nginx:1").start(&engine)?;
    /// let debugger = Container::of("gdb:1").pid_namespace(&web).start(&engine)?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "--pid")]
    pub fn pid_namespace(mut self, choice: impl Into<NamespaceChoice<NamespaceMode>>) -> Self {
        self.settings.pid_namespace = choice.into();
        self
    }

    /// Whose host name and domain name it has. Default: its own.
    ///
    /// With [`NamespaceMode::Host`] it sees changes of the host's name, and needs no name of its own:
    /// [`hostname`](Self::hostname) and [`domainname`](Self::domainname) are refused. **Dangerous** when it is
    /// [privileged](Self::privileged) too, or has [`SYS_ADMIN`](crate::container::Capability::SYS_ADMIN): it can rename the
    /// host then: [`uts_namespaces(7)`](https://man7.org/linux/man-pages/man7/uts_namespaces.7.html).
    #[doc(alias = "--uts")]
    pub fn uts_namespace(mut self, mode: NamespaceMode) -> Self {
        self.settings.uts_namespace = mode;
        self
    }

    /// From where it sees cgroups. Default: from its own one, which is the root of all that it sees.
    ///
    /// With [`NamespaceMode::Host`] `/proc/self/cgroup` has the host's paths, and `/sys/fs/cgroup` shows the cgroups of the
    /// host, to be read only. **Dangerous** when it is [privileged](Self::privileged) too: it can write to them then, and
    /// lift the limits of every process of the host, its own included:
    /// [`cgroup_namespaces(7)`](https://man7.org/linux/man-pages/man7/cgroup_namespaces.7.html).
    #[doc(alias = "--cgroupns")]
    pub fn cgroup_namespace(mut self, mode: NamespaceMode) -> Self {
        self.settings.cgroup_namespace = mode;
        self
    }
}
