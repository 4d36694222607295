//! Points in time, as the store writes them: RFC 3339 with nanoseconds, UTC.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::{Invalid, text_value};
use crate::error::Result;

/// A point in time, to the nanosecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The start of 1970.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// Docker's "never": the start of year 1, `0001-01-01T00:00:00Z`.
    pub const ZERO: Self = Self(jiff::Timestamp::constant(-62_135_596_800, 0));

    /// This moment.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now())
    }

    /// Reads RFC 3339 with any offset: `2024-02-29T12:00:00.123456789Z`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the text is no point in time.
    pub fn parse(text: &str) -> Result<Self> {
        match text.parse() {
            Ok(timestamp) => Ok(Self(timestamp)),
            Err(_) => Err(Invalid::new("time", text, "it reads like 2024-02-29T12:00:00Z, the zone included").into()),
        }
    }

    /// A number of seconds since the start of 1970; before year 1 it is [`ZERO`](Self::ZERO), after 9999 the last moment.
    pub fn from_unix(seconds: i64) -> Self {
        match jiff::Timestamp::from_second(seconds) {
            Ok(timestamp) => Self(timestamp),
            Err(_) if seconds < 0 => Self::ZERO,
            Err(_) => Self(jiff::Timestamp::MAX),
        }
    }

    /// Whole seconds since the start of 1970.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// Nanoseconds since the start of 1970.
    pub fn unix_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// Whether it is Docker's "never".
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The time from `earlier` to this; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or_default()
    }

    /// This time moved back by `duration`; not before year 1.
    pub fn before(self, duration: Duration) -> Self {
        self.0.checked_sub(duration).map_or(Self::ZERO, Self).max(Self::ZERO)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        jiff::Timestamp::try_from(time).map_or(Self::ZERO, Self)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        let since = timestamp.0.as_duration();
        match since.is_negative() {
            // A `SystemTime` of Linux holds every year of the calendar.
            true => SystemTime::UNIX_EPOCH - since.unsigned_abs(),
            false => SystemTime::UNIX_EPOCH + since.unsigned_abs(),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(Timestamp);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_printed_as_go_prints_rfc_3339_with_nanoseconds() {
        let table = [
            ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
            ("2024-02-29T12:00:00.120Z", "2024-02-29T12:00:00.12Z"),
            ("2024-02-29T12:00:00.123456789+02:00", "2024-02-29T10:00:00.123456789Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ];
        for (text, printed) in table {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), printed);
        }
        assert!(Timestamp::parse("0001-01-01T00:00:00Z").unwrap().is_zero());
        assert!(Timestamp::parse("yesterday").is_err());
        assert!(Timestamp::parse("2024-02-29T12:00:00").is_err());
    }

    #[test]
    fn seconds_since_1970_outside_the_calendar_stay_inside_it() {
        assert_eq!(Timestamp::from_unix(0), Timestamp::UNIX_EPOCH);
        assert_eq!(Timestamp::from_unix(i64::MIN), Timestamp::ZERO);
        assert!(Timestamp::from_unix(i64::MAX) > Timestamp::now());
        assert_eq!(Timestamp::from(SystemTime::from(Timestamp::ZERO)), Timestamp::ZERO);
        assert_eq!(Timestamp::from_unix(60).since(Timestamp::from_unix(50)), Duration::from_secs(10));
        assert_eq!(Timestamp::from_unix(50).since(Timestamp::from_unix(60)), Duration::ZERO);
        assert_eq!(Timestamp::from_unix(60).before(Duration::from_secs(10)), Timestamp::from_unix(50));
        assert_eq!(Timestamp::ZERO.before(Duration::MAX), Timestamp::ZERO);
    }
}
