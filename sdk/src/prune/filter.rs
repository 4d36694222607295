//! Which of the objects that could go do go.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::spec::time::Timestamp;

/// What an object must be to go. Default: anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter {
    /// Made before this.
    pub(super) until: Option<Timestamp>,
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

    /// Whether an object of this age with these labels may go.
    ///
    /// One whose age is unknown stays where an age is asked for.
    pub(super) fn admits(&self, created: Option<Timestamp>, labels: &BTreeMap<String, String>) -> bool {
        self.admits_age(created)
            && self.labels.iter().all(|label| has(labels, label))
            && !self.without.iter().any(|label| has(labels, label))
    }

    /// Whether an object of this age may go, if it has no labels to ask for.
    pub(super) fn admits_unlabelled(&self, created: Option<Timestamp>) -> bool {
        self.labels.is_empty() && self.admits_age(created)
    }

    fn admits_age(&self, created: Option<Timestamp>) -> bool {
        self.until.is_none_or(|until| created.is_some_and(|created| created < until))
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
            assert_eq!(filter.admits(created, &labels), expected, "{filter:?} of {created:?}");
        }
        assert!(!filter(None, &["stage"], &[]).admits_unlabelled(None), "what has no labels has none of them");
        assert!(filter(Some(100), &[], &["keep"]).admits_unlabelled(at(5)));
    }
}
