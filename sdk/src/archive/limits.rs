//! What an archive or a registry may make us read, write and remember.

use crate::spec::ByteSize;

/// Limits on what is read from an image, an archive or a registry.
///
/// The defaults let every honest image pass; an archive that exceeds one is refused with
/// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) and leaves nothing in the store.
///
/// ```
/// use plywood::image::Limits;
///
/// let limits = Limits::default().entries(100_000).uncompressed("2GiB".try_into()?);
/// # Ok::<(), plywood::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub(crate) entries: u64,
    pub(crate) path: usize,
    pub(crate) extended_header: u64,
    pub(crate) xattr: usize,
    pub(crate) uncompressed: u64,
    pub(crate) ratio: u64,
    pub(crate) ratio_from: u64,
    pub(crate) free_space: u64,
    pub(crate) manifest: u64,
    pub(crate) config: u64,
    pub(crate) layers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            // PATH_MAX; a longer path cannot be named in one system call.
            path: 4096,
            extended_header: 1 << 20,
            // XATTR_SIZE_MAX of the kernel.
            xattr: 64 << 10,
            uncompressed: 64 << 30,
            // Deflate reaches 1032:1 on zeros, so that small layers of zeros are honest.
            ratio: 1000,
            ratio_from: 1 << 30,
            free_space: 4 << 20,
            manifest: 4 << 20,
            config: 8 << 20,
            // What Docker's layer store accepts.
            layers: 125,
        }
    }
}

impl Limits {
    /// Entries in one layer. Default: 4,000,000.
    pub fn entries(mut self, entries: u64) -> Self {
        self.entries = entries;
        self
    }

    /// Bytes in the path of an entry or of a link's target. Default: 4096.
    pub fn path(mut self, bytes: usize) -> Self {
        self.path = bytes;
        self
    }

    /// Bytes of extended headers (PAX, GNU long names) before one entry. Default: 1 MiB.
    pub fn extended_header(mut self, size: ByteSize) -> Self {
        self.extended_header = size.into();
        self
    }

    /// Bytes of one extended attribute. Default: 64 KiB, which is also the kernel's limit.
    pub fn xattr(mut self, bytes: usize) -> Self {
        self.xattr = bytes;
        self
    }

    /// Bytes of one uncompressed layer, holes of sparse files included. Default: 64 GiB.
    pub fn uncompressed(mut self, size: ByteSize) -> Self {
        self.uncompressed = size.into();
        self
    }

    /// Uncompressed bytes per compressed byte, once a layer is larger than 1 GiB. Default: 1000.
    pub fn ratio(mut self, ratio: u64) -> Self {
        self.ratio = ratio;
        self
    }

    /// Bytes that must stay free on the file system of the store. Default: 4 MiB.
    pub fn free_space(mut self, size: ByteSize) -> Self {
        self.free_space = size.into();
        self
    }

    /// Bytes of an image manifest or index. Default: 4 MiB.
    pub fn manifest(mut self, size: ByteSize) -> Self {
        self.manifest = size.into();
        self
    }

    /// Bytes of an image configuration. Default: 8 MiB.
    pub fn config(mut self, size: ByteSize) -> Self {
        self.config = size.into();
        self
    }

    /// Layers of one image; more than 125 cannot be stored whatever is set here.
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }
}
