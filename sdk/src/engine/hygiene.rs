//! What takes how much, and the removal of what nobody needs.

use super::Engine;
use crate::error::Result;
use crate::fsck;
use crate::prune::{self, DiskUsage, Options, Report};

impl Engine {
    /// Removes what is unreferenced: containers that do not run, images without a name, volumes without a name, the build
    /// cache. For those with names, ask by [`prune_with`](Self::prune_with).
    ///
    /// Containers that a living program holds stay, with all they use.
    ///
    /// # Errors
    /// If the data root cannot be read or an object cannot be removed; what went before is gone.
    #[doc(alias = "docker system prune")]
    pub fn prune(&self) -> Result<Report> {
        self.prune_with(&Options::new())
    }

    /// Removes what is unreferenced among the kinds of object that the options name, or says what would go.
    ///
    /// ```no_run
    /// use plywood::{Engine, prune};
    ///
    /// # fn main() -> plywood::Result<()> {
    /// let engine = Engine::open_default()?;
    /// let report = engine.prune_with(&prune::Options::new().dry_run())?;
    /// for object in report.objects() {
    ///     println!("{} {}: {} bytes", object.kind(), object.name(), object.bytes());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for [`prune`](Self::prune).
    pub fn prune_with(&self, options: &Options) -> Result<Report> {
        prune::prune(&self.store, options)
    }

    /// Checks everything in the data root, and changes nothing.
    ///
    /// # Errors
    /// If the data root cannot be read. Damage in it is no error: it is what the report tells.
    pub fn fsck(&self) -> Result<fsck::Report> {
        self.fsck_with(&fsck::Options::new())
    }

    /// Checks the data root, and repairs what can be repaired without a loss if the options say so.
    ///
    /// ```no_run
    /// use plywood::{Engine, fsck};
    ///
    /// # fn main() -> plywood::Result<()> {
    /// let engine = Engine::open("/var/lib/docker")?;
    /// let report = engine.fsck_with(&fsck::Options::new().repair())?;
    /// for finding in report.findings() {
    ///     println!("{} {}: {} ({})", finding.object(), finding.name(), finding.problem(), finding.outcome());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for [`fsck`](Self::fsck).
    pub fn fsck_with(&self, options: &fsck::Options) -> Result<fsck::Report> {
        fsck::fsck(&self.store, options)
    }

    /// How much images, containers, volumes and the build cache take: the bytes of their files, holes included, as Docker
    /// counts them.
    ///
    /// Blocks while it walks through the trees of containers and volumes.
    ///
    /// # Errors
    /// If the data root cannot be read.
    #[doc(alias = "docker system df")]
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        prune::usage(&self.store)
    }
}
