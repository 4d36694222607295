//! Which of the objects that could go do go.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::spec::time::Timestamp;

/// What an object must be to go. Default: anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter {
    /// Made before this.
    pub(super) until: Option<Timestamp>,
    /// Not used since then.
    pub(super) unused_since: Option<Timestamp>,
    /// With each of these labels; a name alone stands for any value.
    pub(super) labels: Vec<String>,
    /// With none of these.
    pub(super) without: Vec<String>,
}

impl Filter {
    /// Whether only what was made this long ago may go.
    pub(super) fn older_than(&mut self, age: Duration) {
        self.until = Some(Timestamp::now().before(age));
    }

    /// Whether an object that was made and last used at these times, with these labels, may go.
    ///
    /// One whose time is unknown stays where that is asked for.
    pub(super) fn admits(
        &self,
        created: Option<Timestamp>,
        used: Option<Timestamp>,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        self.admits_times(created, used)
            && self.labels.iter().all(|label| has(labels, label))
            && !self.without.iter().any(|label| has(labels, label))
    }

    /// Whether an object of these times may go, if it has no labels to ask for.
    pub(super) fn admits_unlabelled(&self, created: Option<Timestamp>, used: Option<Timestamp>) -> bool {
        self.labels.is_empty() && self.admits_times(created, used)
    }

    fn admits_times(&self, created: Option<Timestamp>, used: Option<Timestamp>) -> bool {
        let is_before = |limit: Option<Timestamp>, time: Option<Timestamp>| {
            limit.is_none_or(|limit| time.is_some_and(|time| time < limit))
        };
        is_before(self.until, created) && is_before(self.unused_since, used.or(created))
    }
}

/// Whether a label is among them: `name`, or `name=value`.
fn has(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_goes_if_everything_that_is_asked_for_holds() {
        let labels = BTreeMap::from([("stage".to_owned(), "test".to_owned()), ("keep".to_owned(), String::new())]);
        let at = |seconds| Some(Timestamp::from_unix(seconds));
        let filter = |until: Option<i64>, labels: &[&str], without: &[&str]| Filter {
            until: until.map(Timestamp::from_unix),
            unused_since: None,
            labels: labels.iter().map(ToString::to_string).collect(),
            without: without.iter().map(ToString::to_string).collect(),
        };
        for (filter, created, expected) in [
            (Filter::default(), None, true),
            (filter(Some(100), &[], &[]), at(99), true),
            (filter(Some(100), &[], &[]), at(100), false),
            (filter(Some(100), &[], &[]), None, false),
            (filter(None, &["stage"], &[]), None, true),
            (filter(None, &["stage=test"], &[]), None, true),
            (filter(None, &["stage=production"], &[]), None, false),
            (filter(None, &["stage", "other"], &[]), None, false),
            (filter(None, &[], &["keep"]), None, false),
            (filter(None, &[], &["keep=yes"]), None, true),
            (filter(Some(100), &["stage"], &["other"]), at(5), true),
        ] {
            assert_eq!(filter.admits(created, None, &labels), expected, "{filter:?} of {created:?}");
        }
        assert!(!filter(None, &["stage"], &[]).admits_unlabelled(None, None), "what has no labels has none of them");
        assert!(filter(Some(100), &[], &["keep"]).admits_unlabelled(at(5), None));
    }

    #[test]
    fn what_was_made_or_used_a_moment_ago_stays_in_its_grace_period() {
        let at = |seconds| Some(Timestamp::from_unix(seconds));
        let filter = Filter { unused_since: at(100), ..Filter::default() };
        for (created, used, expected) in [
            (at(50), at(60), true),
            (at(50), at(100), false),
            (at(50), None, true),
            (at(100), None, false),
            (None, at(60), true),
            (None, None, false),
        ] {
            assert_eq!(filter.admits(created, used, &BTreeMap::new()), expected, "made {created:?}, used {used:?}");
        }
    }
}
