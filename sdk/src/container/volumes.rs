//! The volumes that containers mount.

use super::config::Config;
use super::store::{Files, Store};
use crate::data_root::{Locked, Share};
use crate::error::{ErrorKind, Result};
use crate::spec::name::VolumeName;
use crate::volume::PATIENCE;

impl Store {
    /// The names of the containers that mount a volume.
    pub(crate) fn users_of_volume(&self, volume: &str) -> Result<Vec<String>> {
        let configs = self.configs()?.into_iter();
        let uses = |config: &Config| config.volumes().any(|name| name == volume);
        Ok(configs.filter(|(_, config)| uses(config)).map(|(_, c)| c.plain_name().to_owned()).collect())
    }

    /// Keeps the volumes of a container from being copied, until the locks are dropped; waits for a copy that is being made.
    ///
    /// # Errors
    /// `Timeout` if that takes longer than ten minutes.
    pub(super) fn hold_volumes(&self, files: &Files) -> Result<Vec<Locked>> {
        let mut held = Vec::new();
        for name in files.config.volumes() {
            held.extend(self.volumes().lock(&VolumeName::parse(name)?, Share::Together, PATIENCE)?);
        }
        Ok(held)
    }

    /// Removes the volumes that killed programs have left, but for those that a container mounts.
    pub(super) fn settle_volumes(&self) -> Result<()> {
        self.volumes().settle()?;
        if !self.volumes().has_guards()? {
            return Ok(());
        }
        // Containers come to mount volumes under the same lock.
        let _held = self.lock_names()?;
        for (name, entry) in self.volumes().abandoned()? {
            let users = self.users_of_volume(name.as_str())?;
            let removed = match users.is_empty() {
                true => self.volumes().remove(&name),
                false => Err(crate::error::Error::new(ErrorKind::InUse, format_args!("{users:?} mount it"))),
            };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::debug!("volume {name}, which a dead program left, stays for now: {error}");
                    entry.abandon();
                }
                _ => {}
            }
        }
        Ok(())
    }
}
