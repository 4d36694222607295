//! The `tar-split.json.gz` of a layer: everything of its archive but the files' contents.
//!
//! Gzip of one JSON object per line, as [vbatts/tar-split] writes it:
//!
//! ```text
//! {"type":2,"payload":"<base64 of raw bytes>","position":0}
//! {"type":1,"name":"etc/passwd","size":812,"payload":"<base64 of CRC-64/ISO, big-endian>","position":1}
//! ```
//!
//! A segment (type 2) holds all raw bytes since the last content: its padding, extended headers, the next header. A file
//! (type 1) stands for the content found under its name; without `size` it contributes nothing.
//!
//! [vbatts/tar-split]: https://github.com/vbatts/tar-split

use std::io::{BufRead, BufReader, Read, Write as _};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::Deserialize;

use crate::error::{Attempt as _, Result};

use super::base64;
use super::fault::ArchiveFault;

/// Raw bytes of one segment at most, when we write; so memory does not grow with padding or junk.
pub(super) const LONGEST_SEGMENT: usize = 1 << 20;
/// Longest line accepted: older daemons wrote all that follows the end marker as one segment.
const LONGEST_LINE: u64 = 256 << 20;

/// Writes the format into memory; the caller takes what has accumulated.
pub(super) struct Writer {
    gzip: GzEncoder<Vec<u8>>,
    position: u64,
    line: Vec<u8>,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Segment(Vec<u8>),
    File { name: Vec<u8>, size: u64, crc: Vec<u8> },
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { gzip: GzEncoder::new(Vec::new(), Compression::fast()), position: 0, line: Vec::new() }
    }

    pub(super) fn segment(&mut self, raw: &[u8]) -> Result<()> {
        self.line.clear();
        self.line.extend_from_slice(b"{\"type\":2,\"payload\":\"");
        base64::encode(raw, &mut self.line);
        self.line.push(b'"');
        self.end_line()
    }

    /// A file's place; `content` is size and checksum unless it is empty or in the segments.
    pub(super) fn file(&mut self, name: &[u8], content: Option<(u64, &[u8])>) -> Result<()> {
        self.line.clear();
        self.line.extend_from_slice(b"{\"type\":1");
        if !name.is_empty() {
            match std::str::from_utf8(name) {
                Ok(name) => {
                    self.line.extend_from_slice(b",\"name\":\"");
                    escape(name, &mut self.line);
                }
                Err(_) => {
                    self.line.extend_from_slice(b",\"name_raw\":\"");
                    base64::encode(name, &mut self.line);
                }
            }
            self.line.push(b'"');
        }
        match content {
            Some((size, crc)) => {
                self.line.extend_from_slice(format!(",\"size\":{size},\"payload\":\"").as_bytes());
                base64::encode(crc, &mut self.line);
                self.line.push(b'"');
            }
            None => self.line.extend_from_slice(b",\"payload\":null"),
        }
        self.end_line()
    }

    /// What has been compressed since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.gzip.get_mut())
    }

    /// Ends the file and returns the rest of it.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.gzip.finish().attempt(|| "compress tar-split")
    }

    fn end_line(&mut self) -> Result<()> {
        self.line.extend_from_slice(format!(",\"position\":{}}}\n", self.position).as_bytes());
        self.position += 1;
        self.gzip.write_all(&self.line).attempt(|| "compress tar-split")
    }
}

/// Reads the format.
pub(super) struct Reader<'a> {
    lines: Box<dyn BufRead + 'a>,
    line: Vec<u8>,
}

#[derive(Deserialize)]
struct RawLine {
    r#type: u8,
    #[serde(default)]
    name: String,
    #[serde(default)]
    name_raw: Option<String>,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    payload: Option<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(compressed: impl Read + 'a) -> Self {
        let gzip = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, compressed));
        Self { lines: Box::new(BufReader::with_capacity(256 << 10, gzip)), line: Vec::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        self.line.clear();
        let mut limited = (&mut self.lines).take(LONGEST_LINE);
        let read = limited.read_until(b'\n', &mut self.line).attempt(|| "read tar-split")?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() != Some(&b'\n') {
            return Err(bad("a line is incomplete"));
        }
        let raw: RawLine = serde_json::from_slice(&self.line).map_err(|error| bad(error.to_string()))?;
        let payload = match &raw.payload {
            Some(payload) => base64::decode(payload.as_bytes()).ok_or_else(|| bad("a payload is not base64"))?,
            None => Vec::new(),
        };
        match raw.r#type {
            1 => {
                let name = match raw.name_raw.filter(|name| !name.is_empty()) {
                    Some(name) => base64::decode(name.as_bytes()).ok_or_else(|| bad("a name is not base64"))?,
                    None => raw.name.into_bytes(),
                };
                Ok(Some(Line::File { name, size: raw.size, crc: payload }))
            }
            2 => Ok(Some(Line::Segment(payload))),
            other => Err(bad(format!("unknown type {other}"))),
        }
    }
}

fn bad(why: impl Into<String>) -> crate::error::Error {
    ArchiveFault::TarSplit(why.into()).into()
}

/// Escapes as Go's `encoding/json` does, HTML characters included.
fn escape(text: &str, out: &mut Vec<u8>) {
    // 0xe2 begins U+2028 and U+2029.
    let is_plain = |byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
    if text.as_bytes().iter().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for char in text.chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(char)).as_bytes());
            }
            _ => {
                let mut buffer = [0; 4];
                out.extend_from_slice(char.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_read_as_tar_split_writes_them() {
        let mut writer = Writer::new();
        writer.segment(b"raw\0").unwrap();
        writer.file("ä <&>\"\n".as_bytes(), Some((5, &[0, 1, 2, 3, 4, 5, 6, 255]))).unwrap();
        writer.file(b"\xff", None).unwrap();
        let mut compressed = writer.take();
        compressed.extend(writer.finish().unwrap());
        let mut plain = String::new();
        MultiGzDecoder::new(&compressed[..]).read_to_string(&mut plain).unwrap();
        assert_eq!(
            plain,
            "{\"type\":2,\"payload\":\"cmF3AA==\",\"position\":0}\n\
             {\"type\":1,\"name\":\"ä \\u003c\\u0026\\u003e\\\"\\n\",\"size\":5,\"payload\":\"AAECAwQFBv8=\",\"position\":1}\n\
             {\"type\":1,\"name_raw\":\"/w==\",\"payload\":null,\"position\":2}\n"
        );
        let mut reader = Reader::new(&compressed[..]);
        assert_eq!(reader.next().unwrap(), Some(Line::Segment(b"raw\0".to_vec())));
        let name = "ä <&>\"\n".as_bytes().to_vec();
        assert_eq!(reader.next().unwrap(), Some(Line::File { name, size: 5, crc: vec![0, 1, 2, 3, 4, 5, 6, 255] }));
        assert_eq!(reader.next().unwrap(), Some(Line::File { name: vec![255], size: 0, crc: Vec::new() }));
        assert_eq!(reader.next().unwrap(), None);
    }
}
