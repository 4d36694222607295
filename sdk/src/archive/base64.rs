//! Base64 with padding (RFC 4648 section 4), as Go's JSON writes bytes.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the encoding of `bytes`.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    let (triples, rest) = bytes.as_chunks::<3>();
    let mut at = 0;
    while at < triples.len() {
        let [a, b, c] = triples[at];
        at += 1;
        let word = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
        out.extend_from_slice(&[digit(word >> 18), digit(word >> 12), digit(word >> 6), digit(word)]);
    }
    match *rest {
        [a] => {
            let word = u32::from(a) << 16;
            out.extend_from_slice(&[digit(word >> 18), digit(word >> 12), b'=', b'=']);
        }
        [a, b] => {
            let word = u32::from(a) << 16 | u32::from(b) << 8;
            out.extend_from_slice(&[digit(word >> 18), digit(word >> 12), digit(word >> 6), b'=']);
        }
        _ => {}
    }
}

/// Decodes; `None` if the text is not base64.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (quads, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let padding = text.iter().rev().take(3).take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut out = vec![0; quads.len() * 3];
    let triples = out.as_chunks_mut::<3>().0;
    // By index, as unoptimised builds count.
    let mut at = 0;
    while at < quads.len() {
        let mut quad = quads[at];
        if at + 1 == quads.len() {
            // Padding stands for zero bits, which are cut off below.
            quad[4 - padding..].fill(b'A');
        }
        let [a, b, c, d] = [value(quad[0]), value(quad[1]), value(quad[2]), value(quad[3])];
        if (a | b | c | d) & 0x80 != 0 {
            return None;
        }
        let word = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        let [_, a, b, c] = word.to_be_bytes();
        triples[at] = [a, b, c];
        at += 1;
    }
    out.truncate(out.len() - padding);
    Some(out)
}

fn digit(bits: u32) -> u8 {
    ALPHABET[(bits & 63) as usize]
}

fn value(byte: u8) -> u8 {
    VALUES[usize::from(byte)]
}

/// The value of every digit; 0x80 for what is none.
static VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_go_both_ways() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode(plain.as_bytes(), &mut out);
            assert_eq!(out, coded.as_bytes());
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        for bad in ["Zg", "Zg==Zg==", "====", "Z===", "Zg\n=", "Z=g="] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
