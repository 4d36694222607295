//! What a container shares with the host, and what it has for itself.

use super::Definition;
use crate::container::namespaces::UserNamespace;

impl<D> Definition<D> {
    /// Whose users it has. Default: what the engine [says](crate::Engine::user_namespace), the host's for root.
    ///
    /// With [`UserNamespace::Private`] its users, root included, are ids of the host that nobody else has: one range of
    /// 65536 for each data root. A process that breaks out of the container is nobody. Files are not touched by it: in
    /// layers, volumes and binds they belong on disk to whom they belong inside, by mounts that map the ids. That takes a
    /// file system that can map them (ext4, xfs, btrfs; since Linux 6.3 tmpfs): it is an error of `start` where the data
    /// root or a bind is on another. Devices cannot be made in it, and a [privileged](Self::privileged) container
    /// cannot have it, nor one with a restart policy.
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
}
