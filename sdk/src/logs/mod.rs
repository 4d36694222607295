//! Container logs in Docker's json-file format.
//!
//! One line of JSON per line of output, with its stream and the time it was read:
//!
//! ```text
//! {"log":"ready\n","stream":"stdout","time":"2024-02-29T12:00:00.123456789Z"}
//! ```
//!
//! A line longer than 16 KiB is written in pieces, of which only the last ends in a line feed.

pub(crate) mod json_file;
mod piece;
pub(crate) mod read;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of the two outputs of a process a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    log: std::borrow::Cow<'a, str>,
    stream: Stream,
    time: crate::spec::Timestamp,
}
