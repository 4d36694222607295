#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::{fs, thread};

use super::*;
use crate::logs::json_file::{LogConfig, Writer};

fn texts(path: &Path, options: LogOptions) -> Vec<String> {
    Reader::open(path, options, None).unwrap().map(|line| line.unwrap().text).collect()
}

fn entry(text: &str, stream: &str, second: u32) -> String {
    format!("{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"2024-01-01T00:00:{second:02}Z\"}}\n")
}

#[test]
fn tail_since_until_and_streams_select_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    let lines: String =
        (0..10).map(|n| entry(&format!("{n}\\n"), if n % 2 == 0 { "stdout" } else { "stderr" }, n)).collect();
    fs::write(&path, lines).unwrap();
    let all = LogOptions::default;
    let at = |second: i64| Some(Timestamp::from_unix(1_704_067_200 + second));
    for (options, expected) in [
        (all(), "0123456789"),
        (LogOptions { tail: Some(3), ..all() }, "789"),
        (LogOptions { tail: Some(0), ..all() }, ""),
        (LogOptions { tail: Some(2), stderr: false, ..all() }, "68"),
        (LogOptions { since: at(7), ..all() }, "789"),
        (LogOptions { until: at(2), ..all() }, "012"),
        (LogOptions { until: at(4), tail: Some(2), ..all() }, "34"),
        (LogOptions { stdout: false, ..all() }, "13579"),
    ] {
        assert_eq!(texts(&path, options.clone()).concat(), expected, "{options:?}");
    }
}

#[test]
fn pieces_of_a_long_line_are_joined() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    let pieces =
        [entry("a", "stdout", 0), entry("x\\n", "stderr", 0), entry("b\\n", "stdout", 1), entry("c", "stdout", 2)];
    fs::write(&path, pieces.concat()).unwrap();
    assert_eq!(texts(&path, LogOptions::default()), ["x", "ab", "c"]);
}

#[test]
fn a_line_that_is_not_complete_is_one_of_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    let lines = [entry("1\\n", "stdout", 0), entry("err", "stderr", 1), entry("out", "stdout", 2)];
    fs::write(&path, lines.concat()).unwrap();
    for (tail, expected) in
        [(None, &["1", "err", "out"][..]), (Some(2), &["err", "out"]), (Some(1), &["out"]), (Some(0), &[])]
    {
        assert_eq!(texts(&path, LogOptions { tail, ..LogOptions::default() }), expected, "{tail:?}");
    }
    fs::write(&path, lines.concat() + &entry("late\\n", "stdout", 9)).unwrap();
    let until = Some(Timestamp::from_unix(1_704_067_203));
    assert_eq!(texts(&path, LogOptions { until, ..LogOptions::default() }), ["1", "err", "out"]);
}

#[test]
fn damaged_lines_are_skipped_and_a_missing_log_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    assert!(texts(&path, LogOptions::default()).is_empty());
    let text = format!("{{\"log\":\"torn\n\n\u{0}\n{}{}", entry("fine\\n", "stdout", 1), "{\"log\":");
    fs::write(&path, text).unwrap();
    assert_eq!(texts(&path, LogOptions::default()), ["fine"]);
    let too_long = "x".repeat(3 * LONGEST_LINE);
    fs::write(&path, format!("{}{too_long}\n{}", entry("1\\n", "stdout", 1), entry("2\\n", "stdout", 2))).unwrap();
    assert_eq!(texts(&path, LogOptions::default()), ["1", "2"]);
}

#[test]
fn rotated_files_come_first_packed_ones_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    fs::write(&path, entry("3\\n", "stdout", 3)).unwrap();
    fs::write(rotated(&path, 1), entry("2\\n", "stdout", 2)).unwrap();
    let packed = File::create(dir.path().join("x-json.log.2.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    encoder.write_all(entry("1\\n", "stdout", 1).as_bytes()).unwrap();
    encoder.finish().unwrap();
    assert_eq!(texts(&path, LogOptions::default()), ["1", "2", "3"]);
    assert_eq!(texts(&path, LogOptions { tail: Some(2), ..LogOptions::default() }), ["2", "3"]);
}

#[test]
fn a_follower_sees_every_line_across_rotation_and_ends_with_the_container() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    let config = LogConfig { max_size: Some(100_000), max_file: 5 };
    let mut log = Writer::open(&path, config).unwrap();
    let (ended, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let (seen, first) = std::sync::mpsc::channel();
    let reader = Reader::open(&path, options, Some(Ending { ended, completed: Box::new(|| ()) })).unwrap();
    let follower = thread::spawn(move || {
        let mut texts = Vec::new();
        for line in reader {
            texts.push(line.unwrap().text);
            seen.send(()).unwrap();
        }
        texts
    });
    log.write(Stream::Stdout, b"first\n").unwrap();
    first.recv().unwrap();
    for number in 0..2000 {
        log.write(Stream::Stdout, format!("{number}\n").as_bytes()).unwrap();
        // Keeping up with rotation is the reader's duty only while it is not a whole file behind.
        first.recv().unwrap();
    }
    drop(end);
    let texts = follower.join().unwrap();
    assert_eq!(texts.len(), 2001);
    assert_eq!(texts[2000], "1999");
}
