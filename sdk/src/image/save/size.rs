//! How long the tar of a layer is, before it is written: a tar has the size in front of the content.

use std::fs::File;
use std::io::{self, BufReader, Write};

use crate::archive;
use crate::error::{Error, Result};
use crate::image::images::Images;
use crate::layer::Layer;

/// The size of a layer's tar.
pub(super) fn of_tar(images: &Images, layer: &Layer) -> Result<u64> {
    let path = images.root().chain_dir(layer.chain_id()).join("tar-split.json.gz");
    match File::open(&path) {
        Ok(file) => archive::tar_size(&mut BufReader::new(file)).map_err(|error| error.with_path(path)),
        // Without it the tar follows from the files, and so does its size.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut count = Count(0);
            images.layers().tar(layer, &mut count)?;
            Ok(count.0)
        }
        Err(error) => Err(Error::os(format_args!("open {path:?}"), error)),
    }
}

struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
