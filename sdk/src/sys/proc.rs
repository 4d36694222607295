//! Files of `/proc`, [`proc(5)`](https://man7.org/linux/man-pages/man5/proc.5.html).

use std::fs::File;
use std::io::{self, Read as _};

/// What the kernel writes about a process fits into a page, but for those with very many groups.
const USUAL: usize = 4096;

/// Reads a file whose length the kernel does not tell, in as few pieces as it takes.
pub(crate) fn read(path: &str) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; USUAL];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}
