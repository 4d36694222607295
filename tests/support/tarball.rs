//! Tars made in a test, honest and hostile: names are written as they are given.

use tar::{EntryType, Header};

/// A tar under construction.
#[derive(Debug, Default)]
pub struct Tarball {
    bytes: Vec<u8>,
}

impl Tarball {
    /// An archive without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a regular file of mode 0644.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name, "", 0o644, content.as_ref())
    }

    /// Adds an empty file of this owner.
    #[must_use]
    pub fn owned(self, name: &str, uid: u64, gid: u64) -> Self {
        self.owned_entry(EntryType::Regular, name, "", 0o644, &[], (uid, gid))
    }

    /// Adds a regular file of mode 0755.
    #[must_use]
    pub fn program(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name, "", 0o755, content.as_ref())
    }

    /// Adds a directory of mode 0755.
    #[must_use]
    pub fn directory(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", 0o755, &[])
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, 0o777, &[])
    }

    /// Adds a hard link.
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, 0o644, &[])
    }

    /// Adds a character device, `c 1:3`.
    #[must_use]
    pub fn device(self, name: &str) -> Self {
        self.entry(EntryType::Char, name, "", 0o666, &[])
    }

    /// The archive with its end marker.
    pub fn bytes(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }

    /// Writes the header by hand: a library would refuse some of the names.
    fn entry(self, kind: EntryType, name: &str, target: &str, mode: u32, content: &[u8]) -> Self {
        self.owned_entry(kind, name, target, mode, content, (0, 0))
    }

    fn owned_entry(
        mut self,
        kind: EntryType,
        name: &str,
        target: &str,
        mode: u32,
        content: &[u8],
        owner: (u64, u64),
    ) -> Self {
        let mut header = Header::new_ustar();
        let put = |field: &mut [u8], text: &str| field[..text.len()].copy_from_slice(text.as_bytes());
        put(&mut header.as_old_mut().name, name);
        put(&mut header.as_old_mut().linkname, target);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        if let (EntryType::Char, Some(ustar)) = (kind, header.as_ustar_mut()) {
            ustar.set_device_major(1);
            ustar.set_device_minor(3);
        }
        header.set_cksum();
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(content);
        self.bytes.extend(vec![0; content.len().next_multiple_of(512) - content.len()]);
        self
    }
}
