//! What is unreferenced, and its removal.
//!
//! | kind | goes if |
//! |---|---|
//! | container | it does not run, no program holds it, and it is no snapshot that has forks |
//! | image | no image was made from it, no container that stays uses it, and no reference names it, unless [`unused_images`](Options::unused_images) asks for those too |
//! | volume | no container that stays mounts it, and it was made without a name, unless [`named_volumes`](Options::named_volumes) asks for the others too |
//! | build cache | always; the layers it alone knows go with it |
//!
//! In this order, because what goes first sets free what comes after. A dry run follows the same references and removes
//! nothing. Options may ask for an age, a time without use, or labels besides, and may stop at a size: then what was not
//! used for the longest time goes first, whatever it is.
//!
//! An object is used when a container is made that refers to it, and as long as there is one; the build cache, when a build
//! takes a layer from it.

use std::time::Duration;

use crate::container::store::Store;
use crate::error::Result;
use crate::spec::ByteSize;
use crate::spec::time::Timestamp;

mod candidates;
mod filter;
mod report;
mod run;
mod size;
mod usage;

pub use report::{Kind, Object, Report};
pub(crate) use usage::usage;
pub use usage::{ContainerUsage, DiskUsage, ImageUsage, LayerUsage, VolumeUsage};

use filter::Filter;
use run::Run;

/// What to remove. Default: everything that is unreferenced, but for images and volumes with names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Options {
    kinds: Vec<Kind>,
    filter: Filter,
    unused_images: bool,
    named_volumes: bool,
    size: Option<u64>,
    dry_run: bool,
}

impl Options {
    /// Everything that is unreferenced, of all kinds, but for images and volumes with names.
    pub fn new() -> Self {
        Self {
            kinds: ORDER.to_vec(),
            filter: Filter::default(),
            unused_images: false,
            named_volumes: false,
            size: None,
            dry_run: false,
        }
    }

    /// Objects of these kinds only.
    pub fn only(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Objects only that were made at least this long ago. One that says not when, as a volume of Docker's, stays.
    #[doc(alias = "--filter until")]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.filter.older_than(age);
        self
    }

    /// Objects only that were made before this.
    #[doc(alias = "--filter until")]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.filter.until = Some(time);
        self
    }

    /// Objects only that were not used for this long: what another program has just made, or is about to use again, stays.
    ///
    /// Default: zero.
    #[doc(alias = "grace period")]
    pub fn unused_for(mut self, time: Duration) -> Self {
        self.filter.unused_since = Some(Timestamp::now().before(time));
        self
    }

    /// Images with references, too, if no container was made from them.
    #[doc(alias = "--all")]
    pub fn unused_images(mut self) -> Self {
        self.unused_images = true;
        self
    }

    /// Volumes with names, too, if no container mounts them: what they hold is lost.
    #[doc(alias = "--volumes")]
    pub fn named_volumes(mut self) -> Self {
        self.named_volumes = true;
        self
    }

    /// No more than it takes until the whole data root has at most this size, as [`DiskUsage::total`] counts it. What was not
    /// used for the longest time goes first.
    ///
    /// ```no_run
    /// use plywood::prune::Options;
    /// use plywood::{ByteSize, Engine};
    ///
    /// # fn main() -> plywood::Result<()> {
    /// let engine = Engine::open_default()?;
    /// engine.prune_with(&Options::new().unused_images().to_size(ByteSize::gib(10)))?;
    /// # Ok(()) }
    /// ```
    ///
    /// What is in use stays, even if that is more.
    #[doc(alias = "--keep-storage")]
    #[doc(alias = "--max-used-space")]
    pub fn to_size(mut self, size: ByteSize) -> Self {
        self.size = Some(size.as_u64());
        self
    }

    /// Objects only with this label, `name` or `name=value`; may be given several times. The build cache has none.
    #[doc(alias = "--filter label")]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.filter.labels.push(label.into());
        self
    }

    /// Objects only without this label, `name` or `name=value`; may be given several times.
    #[doc(alias = "--filter label!")]
    pub fn without_label(mut self, label: impl Into<String>) -> Self {
        self.filter.without.push(label.into());
        self
    }

    /// Removes nothing, and reports what would go.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Removes what is unreferenced.
pub(crate) fn prune(store: &Store, options: &Options) -> Result<Report> {
    store.settle()?;
    let mut run = Run::new(store, options)?;
    // Up to a size, all kinds compete; else what goes first sets the next kind free.
    let groups: Vec<&[Kind]> = match options.size {
        Some(_) => vec![&options.kinds],
        None => ORDER.iter().filter(|kind| options.kinds.contains(kind)).map(std::slice::from_ref).collect(),
    };
    for kinds in groups {
        while run.round(kinds)? {}
    }
    Ok(run.report)
}

const ORDER: [Kind; 4] = [Kind::Container, Kind::Image, Kind::Volume, Kind::BuildCache];
