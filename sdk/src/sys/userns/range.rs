//! The ids that root's containers have outside, where they have a user namespace.
//!
//! An administrator may set some aside in `/etc/subuid` and `/etc/subgid`, for `plywood` or for root. Otherwise it is a
//! range that nothing on the host is known to use, among those that systemd leaves to containers.

use std::io;
use std::path::Path;
use std::str::FromStr;

use super::{Map, Range, read_bounded};

/// How many ids a container has, as nearly every system has them.
pub(crate) const COUNT: u32 = 65_536;

/// Where systemd has no users of its own and expects those of containers: 524288 to 1879048191; above its middle few
/// others look for ids.
const FREE: std::ops::Range<u32> = 0x4000_0000..0x7000_0000;

/// Who may have subordinate ids for this, the first that has.
const OWNERS: [&str; 2] = ["plywood", "root"];

/// The ids for a data root; `draw` gives numbers at random.
///
/// # Errors
/// Those of `draw`, and `QuotaExceeded` if every range it draws is in use.
pub(crate) fn choose(draw: impl Fn() -> io::Result<u32>) -> io::Result<Map> {
    let read = |path: &str| read_bounded(Path::new(path)).unwrap_or_default();
    let lists = [read("/etc/subuid"), read("/etc/subgid")];
    if let [Some(uids), Some(gids)] = [set_aside(&lists[0]), set_aside(&lists[1])] {
        return Ok(Map { uids: vec![uids], gids: vec![gids] });
    }
    let mut used: Vec<(u32, u32)> = lists.iter().flat_map(|text| subordinate(text)).map(|(_, range)| range).collect();
    used.extend([read("/etc/passwd"), read("/etc/group")].iter().flat_map(|text| accounts(text)).map(|id| (id, 1)));
    for _ in 0..DRAWS {
        let outside = FREE.start + draw()? % ((FREE.end - FREE.start) / COUNT) * COUNT;
        if !used.iter().any(|used| overlaps((outside, COUNT), *used)) {
            let range = Range { inside: 0, outside, count: COUNT };
            return Ok(Map { uids: vec![range], gids: vec![range] });
        }
    }
    Err(io::ErrorKind::QuotaExceeded.into())
}

const DRAWS: u32 = 64;

fn set_aside(text: &str) -> Option<Range> {
    let enough = |owner: &str| {
        let found = subordinate(text).find(|(who, (_, count))| *who == owner && *count >= COUNT)?;
        Some(Range { inside: 0, outside: found.1.0, count: COUNT })
    };
    OWNERS.into_iter().find_map(enough)
}

/// The lines of subuid(5): owner, first id and count.
fn subordinate(text: &str) -> impl Iterator<Item = (&str, (u32, u32))> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        Some((owner, (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)))
    })
}

/// The ids in passwd(5) and group(5).
fn accounts(text: &str) -> impl Iterator<Item = u32> {
    text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok())
}

fn overlaps((a, a_count): (u32, u32), (b, b_count): (u32, u32)) -> bool {
    a < b.saturating_add(b_count) && b < a.saturating_add(a_count)
}

impl FromStr for Map {
    type Err = io::Error;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> io::Result<Self> {
        let range = |text: &str| {
            let mut numbers = text.split(':').map(str::parse);
            match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count @ 1..)), None) => {
                    Some(Range { inside, outside, count })
                }
                _ => None,
            }
        };
        let ranges = |text: &str| text.split(',').map(range).collect::<Option<Vec<_>>>();
        let kinds = text.trim().split_once(' ').and_then(|(uids, gids)| Some((ranges(uids)?, ranges(gids)?)));
        kinds.map(|(uids, gids)| Map { uids, gids }).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_that_are_set_aside_are_taken_if_there_are_enough() {
        let range = |outside| Some(Range { inside: 0, outside, count: COUNT });
        for (text, expected) in [
            ("user:100000:65536\nroot:200000:65536\n", range(200_000)),
            ("root:200000:65536\nplywood:300000:131072\n", range(300_000)),
            ("root:1:1000\nroot:400000:65536", range(400_000)),
            ("user:100000:65536\nroot:bad:65536\nplywood:5", None),
            ("", None),
        ] {
            assert_eq!(set_aside(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_range_that_is_chosen_is_nobodys() {
        assert!(
            overlaps((100, 10), (109, 1))
                && overlaps((109, 1), (100, 10))
                && overlaps((u32::MAX - 1, 2), (0, u32::MAX))
        );
        assert!(!overlaps((100, 10), (110, 5)) && !overlaps((100, 10), (90, 10)));
        let map = choose(|| Ok(7)).unwrap();
        let [uids, gids] = [map.uids[0], map.gids[0]];
        assert!(uids.count == COUNT && gids.count == COUNT && uids.inside == 0 && gids.inside == 0);
    }

    #[test]
    fn a_map_reads_back() {
        let text = "0:1000:1,1:100000:65536 0:1000:1";
        assert_eq!(text.parse::<Map>().unwrap().to_string(), text);
        for text in ["", "0:1:2", "0:1:0 0:1:1", "0:1 0:1", "a:1:1 0:1:1", "0:1:1:1 0:1:1"] {
            assert!(text.parse::<Map>().is_err(), "{text:?}");
        }
    }
}
