//! Compressed archives.

use std::io::{Read as _, Write as _};

use crate::archive::*;
use crate::error::{Error, ErrorKind};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn plain(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    decompress(bytes, limits)?.read_to_end(&mut out).map_err(|error| Error::os("read", error))?;
    Ok(out)
}

#[test]
fn x13_the_first_bytes_tell_the_format() {
    let limits = Limits::default();
    assert_eq!(plain(b"plain bytes", &limits).unwrap(), b"plain bytes");
    assert_eq!(plain(b"", &limits).unwrap(), b"");
    assert_eq!(plain(b"x", &limits).unwrap(), b"x");
    let members = [gzip(b"one, "), gzip(b""), gzip(b"two")].concat();
    assert_eq!(plain(&members, &limits).unwrap(), b"one, two");
    for (magic, name) in [(&b"\xfd7zXZ\0..."[..], "xz"), (b"BZh9....", "bzip2"), (b"\x04\x22\x4d\x18..", "lz4")] {
        let error = plain(magic, &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), format!("read compressed data: {name} is not supported"));
    }
}

#[test]
fn x13_damaged_gzip_is_corrupt() {
    let limits = Limits::default();
    let good = gzip(&b"some content ".repeat(1000));
    let mut wrong_sum = good.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    let garbage = [&good[..], b"garbage"].concat();
    // Cut short, with nothing but its header, with a wrong sum, with something after it.
    let cases = [&good[..good.len() - 1], &good[..good.len() / 2], &good[..5], &good[..10], &wrong_sum, &garbage];
    for (index, bytes) in cases.into_iter().enumerate() {
        assert_eq!(plain(bytes, &limits).unwrap_err().kind(), ErrorKind::Corrupt, "case {index}");
    }
}

#[test]
fn r25_a_bomb_hits_the_limit() {
    let bomb = gzip(&vec![0; 8 << 20]);
    let mut small = Limits::default().uncompressed((1u64 << 20).into());
    assert_eq!(plain(&bomb, &small).unwrap_err().kind(), ErrorKind::LimitExceeded);
    small = Limits::default().ratio(100);
    small.ratio_from = 1 << 20;
    assert_eq!(plain(&bomb, &small).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[cfg(feature = "zstd")]
#[test]
fn x13_r25_zstd_is_read_and_its_window_limited() {
    let limits = Limits::default();
    let content = b"some content ".repeat(1000);
    let compressed = zstd::encode_all(&content[..], 3).unwrap();
    assert_eq!(plain(&compressed, &limits).unwrap(), content);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &compressed, &compressed].concat();
    assert_eq!(plain(&skippable, &limits).unwrap(), content.repeat(2));
    assert_eq!(plain(&compressed[..compressed.len() - 3], &limits).unwrap_err().kind(), ErrorKind::Corrupt);
    // A frame that claims a window of 2 GiB: exponent 21 above 1 KiB.
    let huge = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    assert!(plain(&huge, &limits).is_err());
    // A frame that needs a dictionary, which nobody has: number 7 in one byte.
    let error = plain(&[0x28, 0xb5, 0x2f, 0xfd, 0x01, 0x58, 7, 1, 0, 0], &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
}

#[cfg(not(feature = "zstd"))]
#[test]
fn zstd_without_its_feature_says_which_feature() {
    let error = plain(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0], &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.hint(), Some("build plywood with its feature \"zstd\""));
}
