//! Images made up for a measurement: archives as `docker save` writes them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::Archives;
use crate::disk::run;

/// As many files as a small Debian has, with about as many bytes.
pub const FILES: usize = 8743;
const BYTES: usize = 170_000_000;

/// An image of one layer, as tar, gzip and zstd.
pub fn image(directory: &Path) -> Archives {
    let plain = directory.join("layer.tar");
    let mut archive = tar::Builder::new(std::io::BufWriter::new(File::create(&plain).unwrap()));
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for number in 0..FILES {
        // Many small ones and a few large ones, and content that a compressor makes a third of.
        let size = BYTES / FILES * (number % 16) * 2 / 15;
        let mut content = Vec::with_capacity(size + 64);
        while content.len() < size {
            content.extend_from_slice(b"a line as there are many of in programs, manuals and locales: ");
            content.extend_from_slice(format!("{:x}{:x}\n", next(), next()).as_bytes());
        }
        content.truncate(size);
        append(&mut archive, &format!("usr/share/{}/{number}", number / 100), &content);
    }
    archive.into_inner().unwrap().flush().unwrap();
    let bytes = plain.metadata().unwrap().len();
    let mut made = Archives { bytes, archives: Vec::new(), layers: Vec::new() };
    let (gzip, zstd) = (directory.join("layer.tar.gz"), directory.join("layer.tar.zst"));
    run(
        "sh",
        [
            "-c",
            "gzip -6 -n <\"$1\" >\"$2\"; zstd -q -3 -f \"$1\" -o \"$3\"",
            "sh",
            text(&plain),
            text(&gzip),
            text(&zstd),
        ],
    );
    let diff_id = digest(&std::fs::read(&plain).unwrap());
    for (form, layer) in [("tar", plain), ("gzip", gzip), ("zstd", zstd)] {
        let path = directory.join(format!("image-{form}.tar"));
        write(&path, &[("bench:1".to_owned(), vec![(diff_id.clone(), std::fs::read(&layer).unwrap())])]);
        made.archives.push((form, path));
        made.layers.push((form, layer));
    }
    made
}

/// Images of so many layers each, none of them shared.
pub fn many(path: &Path, images: usize, layers: usize) {
    let image = |image: usize| {
        let layer = |layer: usize| {
            let mut archive = tar::Builder::new(Vec::new());
            append(&mut archive, &format!("file-{layer}"), format!("{images}-{layers}-{image}-{layer}").as_bytes());
            let bytes = archive.into_inner().unwrap();
            (digest(&bytes), bytes)
        };
        (format!("many-{image}-{layers}:1"), (0..layers).map(layer).collect())
    };
    write(path, &(0..images).map(image).collect::<Vec<_>>());
}

/// A shell script that makes 20,000 small files in a directory, without a process for each.
pub fn small_files_script(directory: &Path) -> String {
    format!("mkdir {0}/files && cd {0}/files && seq 200000 | split -l 10 -a 5 -", directory.display())
}

/// One that makes a file of 200 MB.
pub fn large_file_script(directory: &Path) -> String {
    format!("dd if=/dev/urandom of={}/big bs=1000000 count=200 2>/dev/null", directory.display())
}

/// An image: its name, and the digest and bytes of each layer.
type Described = (String, Vec<(String, Vec<u8>)>);

fn write(path: &Path, images: &[Described]) {
    let mut archive = tar::Builder::new(std::io::BufWriter::new(File::create(path).unwrap()));
    let mut manifest = String::from("[");
    for (name, layers) in images {
        let ids: Vec<_> = layers.iter().map(|(id, _)| format!("\"sha256:{id}\"")).collect();
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}",
            ids.join(",")
        );
        let id = digest(config.as_bytes());
        append(&mut archive, &format!("{id}.json"), config.as_bytes());
        let mut paths = Vec::new();
        for (layer, bytes) in layers {
            append(&mut archive, &format!("{layer}/layer.tar"), bytes);
            paths.push(format!("\"{layer}/layer.tar\""));
        }
        let comma = if manifest.len() > 1 { "," } else { "" };
        let _ = write!(
            manifest,
            "{comma}{{\"Config\":\"{id}.json\",\"RepoTags\":[\"{name}\"],\"Layers\":[{}]}}",
            paths.join(",")
        );
    }
    append(&mut archive, "manifest.json", (manifest + "]").as_bytes());
    archive.into_inner().unwrap().flush().unwrap();
}

fn append(archive: &mut tar::Builder<impl std::io::Write>, path: &str, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).unwrap();
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
