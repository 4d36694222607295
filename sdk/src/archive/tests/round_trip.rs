//! Archives rebuilt byte for byte: what `imported` asserts, for archives that make it hard.

use super::support::*;
use crate::archive::entry::Kind;
use crate::archive::write::Header;
use crate::archive::*;
use crate::error::ErrorKind;

#[test]
fn x06_the_last_entry_of_a_name_stays_and_all_are_rebuilt() {
    let file = |tar: Tar| tar.file("x", "a file");
    let directory = |tar: Tar| tar.directory("x/", 0o755).file("x/in", "inside").file("x/deep/er", "deeper");
    let link = |tar: Tar| tar.symlink("x", "elsewhere");
    let pipe = |tar: Tar| tar.entry(header("x", Kind::Fifo), b"");
    type Step<'a> = (&'a str, &'a dyn Fn(Tar) -> Tar, &'a str);
    let steps: [Step<'_>; 4] = [
        ("file", &file, "100644"),
        ("directory", &directory, "40755"),
        ("link", &link, "120777"),
        ("pipe", &pipe, "10644"),
    ];
    for (first_name, first, _) in &steps {
        for (second_name, second, expected) in &steps {
            let tar = second(first(Tar::default().file("before", "1"))).file("after", "2").end();
            let layer = imported(&tar);
            assert_eq!(mode(&layer, "x"), *expected, "{first_name}, then {second_name}");
        }
    }
    let linked = Tar::default().file("a", "x").hard_link("a", "a").hard_link("b", "a").hard_link("b", "a").end();
    assert_eq!(imported(&linked).names(), ["a", "b"]);
}

#[test]
fn what_is_replaced_counts_once_in_the_size() {
    let tar =
        Tar::default().file("a", "12345").file("a", "123").file("b", "1").hard_link("c", "b").file("b", "12").end();
    assert_eq!(imported(&tar).applied.as_ref().unwrap().size, 3 + 1 + 2);
}

#[test]
fn replaced_contents_are_found_by_what_they_were() {
    let long = "long content ".repeat(200_000);
    let tar = Tar::default()
        .file("a", "same")
        .file("b", "same")
        .file("c", &long)
        .file("./a", "other")
        .file("c", "")
        .directory("d/", 0o755)
        .directory("d", 0o700)
        .file("e", "kept")
        .file("e", "kept")
        .end();
    let layer = imported(&tar);
    assert_eq!((layer.text("a"), layer.text("b"), layer.text("c")), ("other".into(), "same".into(), String::new()));
    assert_eq!(mode(&layer, "d"), "40700");
    // Docker accepts each path once.
    let mut lines = tar_split::Reader::new(&layer.split[..]);
    let mut seen = std::collections::HashSet::new();
    while let Some(line) = lines.next().unwrap() {
        if let tar_split::Line::File { name, .. } = line {
            let mut path = Vec::new();
            path::clean(&name, 4096, &mut path).unwrap();
            assert!(seen.insert(path));
        }
    }
}

#[test]
fn padding_junk_and_global_headers_are_rebuilt() {
    let mut padded = Tar::default().file("f", "x").end();
    padded.resize(10240, 0);
    imported(&padded);
    let junk = [padded.clone(), vec![7; 3 << 20], b"odd tail".to_vec()].concat();
    imported(&junk);
    let mut global = Tar::default().pax(&record("comment", b"0123456789abcdef")).bytes;
    global[156] = b'g';
    seal(&mut global[..512]);
    let layer = imported(&[global, Tar::default().file("f", "x").end()].concat());
    assert_eq!(layer.names(), ["f"]);
    assert_eq!(layer.applied.as_ref().unwrap().entries, 2);
    imported(&Tar::default().end());
}

#[test]
fn tar_split_is_what_docker_writes() {
    use std::io::Read as _;
    let tar =
        Tar::default().directory("d/", 0o755).file("d/hello", "hello world\n").file("empty", "").symlink("l", "d");
    let layer = imported(&tar.end());
    let mut plain = String::new();
    flate2::read::MultiGzDecoder::new(&layer.split[..]).read_to_string(&mut plain).unwrap();
    let lines: Vec<serde_json::Value> = plain.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_u64().unwrap()).collect();
    assert_eq!(kinds, [2, 1, 2, 1, 2, 1, 2, 1, 2]);
    assert_eq!(lines[1].to_string(), r#"{"name":"d/","payload":null,"position":1,"type":1}"#);
    let expected = r#"{"name":"d/hello","payload":"PtIdf9sW96U=","position":3,"size":12,"type":1}"#;
    let mut crc = crc64::Crc64::new();
    crc.update(b"hello world\n");
    let mut payload = Vec::new();
    base64::encode(&crc.finish(), &mut payload);
    assert_eq!(lines[3].to_string(), expected.replace("PtIdf9sW96U=", std::str::from_utf8(&payload).unwrap()));
    assert_eq!(lines[5]["size"], serde_json::Value::Null);
    // The padding of a content, and the header that follows it, are one segment.
    let raw = base64::decode(lines[4]["payload"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(raw.len(), 500 + 512);
}

#[test]
fn a_changed_file_is_noticed_when_rebuilding() {
    let tar = Tar::default().file("f", "content").file("g", "more").end();
    for (change, why) in [("CONTENT", "has another content"), ("longer content", "is not the file it was")] {
        let layer = imported(&tar);
        std::fs::write(layer.diff().join("f"), change).unwrap();
        let error = layer.reassembled().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(why), "{error}");
    }
    let layer = imported(&tar);
    std::fs::remove_file(layer.diff().join("g")).unwrap();
    assert!(layer.reassembled().unwrap_err().to_string().contains("\"g\" is missing"));
}

#[test]
fn a_small_change_gives_another_digest_and_the_order_on_disk_does_not() {
    let digest = |names: [&str; 3], mode: u32| {
        let layer = Layer::empty();
        for name in names {
            std::fs::write(layer.diff().join(name), name).unwrap();
            let handle = crate::sys::fs::open_directory(&layer.diff()).unwrap();
            crate::sys::fs::set_mode_at(&handle, name, mode).unwrap();
            crate::sys::fs::set_times_at(&handle, name, Default::default()).unwrap();
        }
        digest_layer(&layer.diff(), None, &mut Vec::new(), None, &options()).unwrap().diff_id
    };
    assert_eq!(digest(["a", "b", "c"], 0o600), digest(["c", "a", "b"], 0o600));
    assert_ne!(digest(["a", "b", "c"], 0o600), digest(["a", "b", "c"], 0o644));
}

#[test]
fn a_copy_is_the_same_layer_and_what_ends_it_is_told() {
    // More than is on its way at once.
    let tar = Tar::default().directory("d/", 0o750).file("d/f", &"x".repeat(3 << 20)).hard_link("g", "d/f").end();
    let layer = imported(&tar);
    let digested = |layer: &Layer| digest_layer(&layer.diff(), None, &mut std::io::sink(), None, &options()).unwrap();
    let copy = |options: &ApplyOptions| {
        let copy = Layer::empty();
        copy_layer(&layer.diff(), None, &copy.diff(), &mut Vec::new(), options, &|| ()).map(|copied| (copied, copy))
    };
    let (copied, to) = copy(&options()).unwrap();
    assert_eq!(copied, digested(&layer));
    assert_eq!(copied, digested(&to));
    let without_space = ApplyOptions { limits: Limits::default().free_space(u64::MAX.into()), ..options() };
    assert_eq!(copy(&without_space).map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn a_writer_that_fails_ends_the_work_with_its_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let layer = imported(&Tar::default().file("f", &"x".repeat(3 << 20)).end());
    let error = digest_layer(&layer.diff(), None, &mut Vec::new(), Some(&mut Full), &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = digest_layer(&layer.diff(), None, &mut Full, None, &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let tar = Tar::default().entry(header("f", Kind::File), b"").end();
    let error = import_layer(&mut &tar[..], &Layer::empty().diff(), &mut Full, &options(), &|| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::TimedOut.into())
        }
    }
    let error = import_layer(&mut Broken, &Layer::empty().diff(), &mut Vec::new(), &options(), &|| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let _ = Header { ..header("f", Kind::File) };
}
