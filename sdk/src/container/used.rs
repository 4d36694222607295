//! Notes when the image and the volumes of containers are used.

use super::config::Config;
use super::store::Store;
use crate::data_root::used;
use crate::spec::digest::ImageId;
use crate::spec::name::VolumeName;

impl Store {
    /// Notes that they are used now: a container that refers to them comes or goes.
    pub(super) fn mark_used(&self, config: &Config) {
        if let Ok(image) = ImageId::parse(&config.image) {
            used::mark(&self.root().image_config(&image));
        }
        for volume in config.volumes().filter_map(|name| VolumeName::parse(name).ok()) {
            used::mark(&self.root().volume_dir(&volume));
        }
    }
}
