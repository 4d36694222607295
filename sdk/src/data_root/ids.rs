//! Whose ids the files of a data root belong to.
//!
//! `image/plywood/id-map` holds one line: the map that the files were written with, or `one` where all belong to the user.
//! Files of root need no map.

use super::{DataRoot, Lock, atomic};
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::sys::userns::{self, Ids, Map, range};

/// A map has at most 340 lines of three numbers, twice.
const LONGEST: usize = 64 << 10;

/// What the record says of a user without further ids.
const ONE: &str = "one";

/// Compares the ids of this process with those that the root was written with, and notes them in a new root.
pub(super) fn check(root: &DataRoot) -> Result<()> {
    let (now, why) = match userns::ids() {
        Ids::Host => return Ok(()),
        Ids::Many(namespace) => (namespace.map.to_string(), None),
        Ids::One(why) => (ONE.to_owned(), Some(why)),
    };
    let record = root.own_dir().join("id-map");
    let before = atomic::read_text(&record, LONGEST)?;
    // Roots from before there was a record are those of users with one id.
    let is_used = || std::fs::read_dir(root.chains_dir()).is_ok_and(|mut layers| layers.next().is_some());
    let before = before.map(|text| text.trim().to_owned()).or_else(|| is_used().then(|| ONE.to_owned()));
    match (before.as_deref(), why) {
        (Some(before), _) if before == now => return Ok(()),
        (None, _) => {}
        (Some(ONE), _) => tracing::warn!(
            root = ?root.path(),
            "its layers and volumes so far were written by a user with one id: their files belong to root in containers \
             (import or build the images again to give them their owners)"
        ),
        (Some(_), Some(why)) => return Err(Refusal::Lost { path: root.path().to_owned(), why: why.to_string() }.into()),
        (Some(before), None) if extends(&now, before) => {}
        (Some(before), None) => {
            return Err(Refusal::Other { path: root.path().to_owned(), before: before.to_owned(), now }.into());
        }
    }
    root.write(&record, now.as_bytes(), 0o600)
}

impl DataRoot {
    /// The ids that containers of this root have outside, where root gives them a user namespace: chosen at the first use,
    /// then always the same.
    ///
    /// # Errors
    /// `Corrupt` if the record is none.
    pub(crate) fn container_ids(&self) -> Result<Map> {
        let record = self.own_dir().join("container-ids");
        let _held = self.lock(Lock::Containers)?;
        if let Some(text) = atomic::read_text(&record, LONGEST)? {
            return text.parse().map_err(|_| Refusal::Malformed { path: record }.into());
        }
        let draw = || {
            let mut bytes = [0; 4];
            crate::spec::id::random_bytes(&mut bytes)?;
            Ok(u32::from_ne_bytes(bytes))
        };
        let map = range::choose(draw).attempt(|| "choose ids for the users of containers")?;
        self.write(&record, map.to_string().as_bytes(), 0o600)?;
        Ok(map)
    }
}

/// Whether each id of `before` means the same in `now`.
fn extends(now: &str, before: &str) -> bool {
    let kinds = |map: &str| map.split(' ').map(|ranges| format!("{ranges},")).collect::<Vec<_>>();
    let (now, before) = (kinds(now), kinds(before));
    now.len() == before.len() && now.iter().zip(&before).all(|(now, before)| now.starts_with(before.as_str()))
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("open data root {path:?}: its files belong to subordinate ids, which this process does not have: {why}")]
    Lost { path: std::path::PathBuf, why: String },
    #[error("open data root {path:?}: its files belong to the ids {before}, and those of this user are {now}")]
    Other { path: std::path::PathBuf, before: String, now: String },
    #[error("read {path:?}: it does not say which ids containers have")]
    Malformed { path: std::path::PathBuf },
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } => ErrorKind::Corrupt,
            Self::Lost { .. } | Self::Other { .. } => ErrorKind::PermissionDenied,
        }
    }
    fn path(&self) -> Option<&std::path::Path> {
        let (Self::Lost { path, .. } | Self::Other { path, .. } | Self::Malformed { path }) = self;
        Some(path)
    }
    fn hint(&self) -> Option<String> {
        Some(match self {
            // No file belongs to these ids.
            Self::Malformed { .. } => "remove it: others are chosen then".to_owned(),
            _ => "give the user the ids back in /etc/subuid and /etc/subgid, or choose another data root".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::extends;

    #[test]
    fn a_map_may_grow_at_its_end_only() {
        let before = "0:1000:1,1:100000:65536 0:1000:1,1:100000:65536";
        for (now, expected) in [
            (before, true),
            ("0:1000:1,1:100000:65536,65537:300000:5 0:1000:1,1:100000:65536", true),
            ("0:1000:1,1:100000:655361 0:1000:1,1:100000:65536", false),
            ("0:1000:1,1:200000:65536 0:1000:1,1:100000:65536", false),
            ("0:1000:1 0:1000:1", false),
        ] {
            assert_eq!(extends(now, before), expected, "{now}");
        }
    }
}
