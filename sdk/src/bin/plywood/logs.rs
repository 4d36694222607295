//! `logs`: what a container has written, each line on the stream it came from.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use plywood::Timestamp;
use plywood::container::{LogLine, Stream};
use serde_json::json;

use crate::Session;
use crate::args::Logs;
use crate::failure::{Failure, Outcome};

pub fn print(session: &Session, wanted: &Logs) -> Outcome<()> {
    let container = session.engine()?.container(&wanted.container)?;
    let mut logs = container.logs();
    if wanted.tail != "all" {
        let lines = wanted.tail.parse();
        let lines =
            lines.map_err(|_| Failure::usage(format!("invalid --tail {:?}: neither a number nor all", wanted.tail)))?;
        logs = logs.tail(lines);
    }
    if let Some(time) = &wanted.since {
        logs = logs.since(moment("--since", time)?);
    }
    if let Some(time) = &wanted.until {
        logs = logs.until(moment("--until", time)?);
    }
    if wanted.follow {
        logs = logs.follow();
    }
    let mut lines = logs.read()?;
    let mut printer = Printer::new(wanted, session.output.is_json());
    for line in lines.by_ref() {
        printer.print(&line)?;
    }
    printer.flush()?;
    match lines.error() {
        Some(error) => Err(Failure::usage(format!("{error:?}"))),
        None => Ok(()),
    }
}

/// `2024-02-29T12:00:00Z`, seconds since 1970, or how long ago: `10m`.
pub fn moment(flag: &str, text: &str) -> Outcome<Timestamp> {
    if let Ok(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<f64>()
        && seconds >= 0.0
        && let Ok(since) = Duration::try_from_secs_f64(seconds)
        && let Some(time) = std::time::SystemTime::UNIX_EPOCH.checked_add(since)
    {
        return Ok(time.into());
    }
    match plywood_syntax::duration::parse(text) {
        Some(ago) => Ok(Timestamp::now().before(ago)),
        None => Err(Failure::usage(format!(
            "invalid {flag} {text:?}: neither a time such as 2024-02-29T12:00:00Z, nor seconds since 1970, nor a \
             duration such as 10m"
        ))),
    }
}

struct Printer {
    stdout: BufWriter<io::Stdout>,
    stderr: BufWriter<io::Stderr>,
    last: Stream,
    timestamps: bool,
    json: bool,
    /// Whether somebody waits for the lines.
    live: bool,
}

impl Printer {
    fn new(wanted: &Logs, json: bool) -> Self {
        Self {
            stdout: BufWriter::new(io::stdout()),
            stderr: BufWriter::new(io::stderr()),
            last: Stream::Stdout,
            timestamps: wanted.timestamps,
            json,
            live: wanted.follow,
        }
    }

    fn print(&mut self, line: &LogLine) -> io::Result<()> {
        // Both may lead to one terminal: the order of the lines is theirs.
        if line.stream != self.last {
            self.flush()?;
            self.last = line.stream;
        }
        let out: &mut dyn Write = match line.stream {
            Stream::Stderr if !self.json => &mut self.stderr,
            _ => &mut self.stdout,
        };
        if self.json {
            // One document on each line, as in the log itself: it may not have an end.
            writeln!(out, "{}", json!({ "log": line.text, "stream": line.stream, "time": line.time }))?;
        } else if self.timestamps {
            writeln!(out, "{} {}", padded(line.time), line.text)?;
        } else {
            writeln!(out, "{}", line.text)?;
        }
        if self.live { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()?;
        self.stderr.flush()
    }
}

/// With nine digits behind the second, so that the lines are aligned.
pub fn padded(time: Timestamp) -> String {
    let text = time.to_string();
    let plain = text.trim_end_matches('Z');
    let (second, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    format!("{second}.{fraction:0<9}Z")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_read_as_docker_reads_them() {
        assert_eq!(moment("--since", "2024-02-29T12:00:00Z").unwrap().to_string(), "2024-02-29T12:00:00Z");
        assert_eq!(moment("--since", "60").unwrap(), Timestamp::from_unix(60));
        assert!(moment("--since", "10m").unwrap() < Timestamp::now());
        assert!(moment("--since", "yesterday").is_err());
        assert!(moment("--since", "-5").is_err());
    }

    #[test]
    fn times_are_printed_with_nine_digits() {
        for (time, text) in [
            ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000000000Z"),
            ("2024-02-29T12:00:00.12Z", "2024-02-29T12:00:00.120000000Z"),
        ] {
            assert_eq!(padded(Timestamp::parse(time).unwrap()), text);
        }
    }
}
