//! The readers of untrusted bytes, for `tests/fuzz`: no part of the API, and there with `--cfg fuzzing` only.
//!
//! `cargo fuzz` sets that. Each function takes whatever bytes come and panics if a reader breaks a promise; that it
//! refuses them is none.

use std::fs;
use std::sync::LazyLock;

use crate::archive::{ApplyOptions, Form, Limits, Ownership, XattrKind, import_layer, reassemble};
use crate::engine::Engine;
use crate::image::Source;
use crate::image::tags::Repositories;
use crate::logs::read::{LogLine, LogOptions, Reader};
use crate::spec::{ByteSize, Digest, ImageConfig};

pub use crate::volume::fuzz as database;

/// The archive of a layer: one that is taken is reproduced byte for byte.
pub fn layer(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let diff = directory.path().join("diff");
    fs::create_dir(&diff).expect("a directory");
    let options = ApplyOptions {
        form: Form::Changes,
        xattrs: XattrKind::User,
        ownership: Ownership::Flatten,
        limits: Limits::default().uncompressed(ByteSize::mib(16)),
    };
    let mut tar_split = Vec::new();
    let Ok(applied) = import_layer(&mut &bytes[..], &diff, &mut tar_split, &options, &|| ()) else { return };
    assert_eq!(applied.diff_id.to_string(), Digest::of(bytes).to_string());
    let mut again = Vec::new();
    reassemble(&mut &tar_split[..], &diff, &mut again).expect("it is made again");
    assert!(again == bytes, "it is made again byte for byte");
}

/// The configuration of an image: what is written again means the same.
pub fn image_config(bytes: &[u8]) {
    let Ok(config) = serde_json::from_slice::<ImageConfig>(bytes) else { return };
    let written = serde_json::to_vec(&config).expect("it is written");
    assert_eq!(serde_json::from_slice::<ImageConfig>(&written).expect("it is read again"), config);
}

/// The config that a seed's manifest names.
const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;

/// The documents of an archive of images. The first byte says which one the others are: `index.json`, a manifest or an
/// index below it, or Docker's `manifest.json`.
pub fn documents(bytes: &[u8]) {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::temp().expect("an engine"));
    let Some((which, document)) = bytes.split_first() else { return };
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let index = |kind: &str| {
        let (digest, size) = (Digest::of(document), document.len());
        let descriptor =
            format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}.v1+json","digest":"{digest}","size":{size}}}"#);
        format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#).into_bytes()
    };
    let mut files = vec![(blob(CONFIG), CONFIG.to_owned())];
    let layout = ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    match which % 4 {
        0 => files.extend([layout, ("index.json".to_owned(), document.to_owned())]),
        1 => {
            files.extend([layout, ("index.json".to_owned(), index("manifest")), (blob(document), document.to_owned())])
        }
        2 => files.extend([layout, ("index.json".to_owned(), index("index")), (blob(document), document.to_owned())]),
        _ => files.push(("manifest.json".to_owned(), document.to_owned())),
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, &content[..]).expect("an archive");
    }
    let archive = archive.into_inner().expect("an archive");
    if ENGINE.load(Source::reader(&archive[..])).is_ok() {
        ENGINE.images().expect("what was loaded is listed");
    }
}

/// `repositories.json`: what is written again means the same.
pub fn repositories(bytes: &[u8]) {
    let Ok(tags) = serde_json::from_slice::<Repositories>(bytes) else { return };
    for (_, id) in tags.iter() {
        tags.of(id);
    }
    let written = tags.to_json().expect("it is written");
    assert_eq!(serde_json::from_slice::<Repositories>(&written).expect("it is read again"), tags);
}

/// The log of a container. The first byte says how many lines are wanted from its end, and whether a half of the rest is
/// in a file that was rotated away.
pub fn log(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let (older, newer) = text.split_at(if choice & 0x80 == 0 { 0 } else { text.len() / 2 });
    if !older.is_empty() {
        fs::write(directory.path().join("log.1"), older).expect("a log");
    }
    fs::write(&path, newer).expect("a log");
    let read = |tail| -> Vec<LogLine> {
        let options = LogOptions { tail, ..LogOptions::default() };
        let reader = Reader::open(&path, options, None).expect("a log");
        reader.collect::<Result<_, _>>().expect("a log is read, whatever is in it")
    };
    let (all, wanted) = (read(None), usize::from(choice & 0x7f));
    assert_eq!(read(Some(wanted)), all[all.len().saturating_sub(wanted)..]);
}
