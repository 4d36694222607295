//! Options of a mount: what each word means.

use super::fault::Fault;
use crate::sys::mount::{
    ATTR_ATIME, ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID, ATTR_NOSYMFOLLOW, ATTR_RDONLY,
    ATTR_STRICTATIME,
};

/// What the options of one mount say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MountOptions {
    /// Attributes of the mount itself.
    pub own: Attributes,
    /// Those of all that is mounted below it as well.
    pub recursive: Attributes,
    /// `MS_SHARED` and the like, and whether for what is below it too.
    pub propagation: Option<(u64, bool)>,
    /// A directory or file of the host, and whether with what is mounted below it.
    pub bind: Option<bool>,
    /// Ids are mapped, and whether below it too.
    pub idmap: Option<bool>,
    /// Memory begins with what the directory held.
    pub copies_up: bool,
    /// For the file system: name and value, which is empty for a flag.
    pub data: Vec<(String, String)>,
}

/// Attributes of a mount, as mount_setattr(2) takes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub set: u64,
    pub clear: u64,
}

impl Attributes {
    fn change(&mut self, set: u64, clear: u64) {
        // The later word counts.
        self.set = self.set & !clear | set;
        self.clear = self.clear & !set | clear;
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A word, the attributes it sets, and those it clears; with an `r` in front they hold below the mount too.
const ATTRIBUTES: [(&str, u64, u64); 17] = [
    ("ro", ATTR_RDONLY, 0),
    ("rw", 0, ATTR_RDONLY),
    ("nosuid", ATTR_NOSUID, 0),
    ("suid", 0, ATTR_NOSUID),
    ("nodev", ATTR_NODEV, 0),
    ("dev", 0, ATTR_NODEV),
    ("noexec", ATTR_NOEXEC, 0),
    ("exec", 0, ATTR_NOEXEC),
    ("nodiratime", ATTR_NODIRATIME, 0),
    ("diratime", 0, ATTR_NODIRATIME),
    ("nosymfollow", ATTR_NOSYMFOLLOW, 0),
    ("symfollow", 0, ATTR_NOSYMFOLLOW),
    // The kind of access times is one of three, and the kernel wants the others to be cleared.
    ("noatime", ATTR_NOATIME, ATTR_ATIME),
    ("atime", 0, ATTR_ATIME),
    ("relatime", 0, ATTR_ATIME),
    ("strictatime", ATTR_STRICTATIME, ATTR_ATIME),
    ("nostrictatime", 0, ATTR_ATIME),
];

const PROPAGATIONS: [(&str, u64); 4] = [
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("private", libc::MS_PRIVATE),
    ("unbindable", libc::MS_UNBINDABLE),
];

/// Words that change nothing.
const NOTHING: [&str; 5] = ["defaults", "norelatime", "rnorelatime", "silent", "loud"];

/// `rshared` and the like, with and without `r`.
pub(super) fn propagation(word: &str) -> Option<(u64, bool)> {
    let of = |word: &str| PROPAGATIONS.iter().find(|(known, _)| *known == word).map(|(_, flag)| *flag);
    of(word).map(|flag| (flag, false)).or_else(|| of(word.strip_prefix('r')?).map(|flag| (flag, true)))
}

/// All words that mean something whatever is mounted, sorted.
pub(super) fn known() -> Vec<String> {
    let attributes = ATTRIBUTES.iter().map(|(word, ..)| *word);
    let propagations = PROPAGATIONS.iter().map(|(word, _)| *word);
    let both = attributes.chain(propagations).chain(["bind", "idmap"]);
    let mut known: Vec<String> = both.flat_map(|word| [word.to_owned(), format!("r{word}")]).collect();
    known.extend(NOTHING.into_iter().chain(["tmpcopyup"]).map(str::to_owned));
    known.sort();
    known
}

impl MountOptions {
    /// Reads them. A word that is none of a mount is for the file system, which says itself whether it knows it; a bind
    /// has none.
    pub(super) fn parse(destination: &str, kind: &str, options: &[String]) -> Result<Self, Fault> {
        let mut parsed = Self { bind: (kind == "bind").then_some(false), ..Self::default() };
        let attributes = |word: &str| ATTRIBUTES.iter().find(|(known, ..)| *known == word);
        for word in options {
            let word = word.as_str();
            if let Some((_, set, clear)) = attributes(word) {
                parsed.own.change(*set, *clear);
            } else if let Some((_, set, clear)) = word.strip_prefix('r').and_then(attributes) {
                parsed.recursive.change(*set, *clear);
            } else if let Some(found) = propagation(word) {
                parsed.propagation = Some(found);
            } else {
                match word {
                    "bind" => parsed.bind = parsed.bind.or(Some(false)),
                    "rbind" => parsed.bind = Some(true),
                    "idmap" => parsed.idmap = Some(false),
                    "ridmap" => parsed.idmap = Some(true),
                    "tmpcopyup" => parsed.copies_up = true,
                    "remount" => {
                        return Err(Fault::Unsupported { what: format!("a remount on {destination:?}") });
                    }
                    word if NOTHING.contains(&word) => {}
                    word => {
                        let (name, value) = word.split_once('=').unwrap_or((word, ""));
                        parsed.data.push((name.to_owned(), value.to_owned()));
                    }
                }
            }
        }
        match (parsed.bind, parsed.data.first()) {
            (Some(_), Some((name, _))) => {
                Err(Fault::MountOption { destination: destination.to_owned(), option: name.clone() })
            }
            _ => Ok(parsed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(kind: &str, options: &str) -> Result<MountOptions, Fault> {
        let options: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
        MountOptions::parse("/x", kind, &options)
    }

    #[test]
    fn the_later_word_counts() {
        let options = parse("tmpfs", "ro nosuid rw noatime relatime size=4k").unwrap();
        assert_eq!(options.own, Attributes { set: ATTR_NOSUID, clear: ATTR_RDONLY | ATTR_ATIME });
        assert_eq!(options.data, [("size".to_owned(), "4k".to_owned())]);
        assert_eq!(options.bind, None);
    }

    #[test]
    fn an_r_in_front_means_all_below() {
        let options = parse("bind", "rbind rro rslave ridmap").unwrap();
        assert_eq!(options.recursive, Attributes { set: ATTR_RDONLY, clear: 0 });
        assert!(options.own.is_empty());
        assert_eq!(options.propagation, Some((libc::MS_SLAVE, true)));
        assert_eq!((options.bind, options.idmap), (Some(true), Some(true)));
        // Words that begin with an `r` by themselves.
        let options = parse("bind", "ro relatime").unwrap();
        assert_eq!(options.own, Attributes { set: ATTR_RDONLY, clear: ATTR_ATIME });
    }

    #[test]
    fn a_bind_knows_no_options_of_file_systems() {
        let error = parse("none", "bind frobnicate").unwrap_err();
        assert_eq!(error.to_string(), r#"mount on "/x": unknown option "frobnicate""#);
        assert!(parse("bind", "remount").is_err());
    }
}
