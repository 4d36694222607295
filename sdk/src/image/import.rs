//! Importing the tar of a root filesystem as an image of one layer.

use super::change;
use super::contents::{buffered, open_stream};
use super::images::Images;
use super::source::{Listener, Meter, Metered, Progress, Source};
use super::tags::Overwrite;
use super::{Image, Limits};
use crate::archive::decompress;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::image_config::{Config, History, ImageConfig, RootFs};
use crate::spec::{ContainerPath, ExposedPort, Platform, Reference, Timestamp, User};

/// How to import a root filesystem.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    reference: Option<String>,
    overwrite: Option<Overwrite>,
    platform: Option<Platform>,
    created: Option<Timestamp>,
    comment: Option<String>,
    config: Config,
    workdir: Option<String>,
    user: Option<String>,
    env: Vec<(String, String)>,
    volumes: Vec<String>,
    changes: Vec<String>,
    limits: Limits,
    listener: Listener,
}

impl ImportOptions {
    /// The default: an image without a name or a command, for this host's platform, made now.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the image.
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Lets the import take the reference from another image. Default: that is an error.
    pub fn overwrite(mut self) -> Self {
        self.overwrite = Some(Overwrite::Move);
        self
    }

    /// Sets the platform the programs in the archive are for.
    #[doc(alias = "--platform")]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Sets when the image was made. The same archive and the same time give the same image ID.
    pub fn created(mut self, created: Timestamp) -> Self {
        self.created = Some(created);
        self
    }

    /// Sets the remark in the history. Default: where the archive came from.
    #[doc(alias = "--message")]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Sets the default command.
    #[doc(alias = "CMD")]
    pub fn cmd<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.config.cmd = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Sets what every command is given to.
    #[doc(alias = "ENTRYPOINT")]
    pub fn entrypoint<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.config.entrypoint = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Sets an environment variable; may be given several times.
    #[doc(alias = "ENV")]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets a label; may be given several times.
    #[doc(alias = "LABEL")]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.labels.insert(name.into(), value.into());
        self
    }

    /// Sets the working directory, an absolute path.
    #[doc(alias = "WORKDIR")]
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        self.workdir = Some(path.into());
        self
    }

    /// Sets the user: `app`, `app:staff` or `1000:1000`.
    #[doc(alias = "USER")]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Declares a port the image listens on; may be given several times.
    #[doc(alias = "EXPOSE")]
    pub fn expose(mut self, port: impl Into<ExposedPort>) -> Self {
        self.config.exposed_ports.insert(port.into().to_string());
        self
    }

    /// Declares a directory that outlives containers; may be given several times.
    #[doc(alias = "VOLUME")]
    pub fn volume(mut self, path: impl Into<String>) -> Self {
        self.volumes.push(path.into());
        self
    }

    /// Sets the signal that stops a container of this image, such as `SIGINT`.
    #[doc(alias = "STOPSIGNAL")]
    pub fn stop_signal(mut self, signal: impl Into<String>) -> Self {
        self.config.stop_signal = Some(signal.into());
        self
    }

    /// Applies a Dockerfile instruction to the configuration, after all that the other methods set: `CMD`, `ENTRYPOINT`,
    /// `ENV`, `EXPOSE`, `LABEL`, `ONBUILD`, `STOPSIGNAL`, `USER`, `VOLUME` or `WORKDIR`. May be given several times.
    #[doc(alias = "--change")]
    pub fn change(mut self, instruction: impl Into<String>) -> Self {
        self.changes.push(instruction.into());
        self
    }

    /// Sets what the archive may ask of this host.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Calls `listener` while the archive is read, from the thread that imports.
    pub fn progress(mut self, listener: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.listener = Listener::new(listener);
        self
    }

    /// The configuration, its values checked.
    fn checked(&self) -> Result<Config> {
        let mut config = self.config.clone();
        if let Some(path) = &self.workdir {
            config.working_dir = ContainerPath::parse(path)?.to_string();
        }
        if let Some(user) = &self.user {
            config.user = User::parse(user)?.to_string();
        }
        for path in &self.volumes {
            config.volumes.insert(ContainerPath::parse(path)?.to_string());
        }
        for (name, value) in &self.env {
            change::set_variable(&mut config, name, value)?;
        }
        for instruction in &self.changes {
            change::apply(&mut config, instruction)?;
        }
        Ok(config)
    }
}

/// Imports the tar of a root filesystem, plain or compressed.
///
/// The layer is there before the image, and the image before its name; if anything fails, nothing stays.
pub(crate) fn import(images: &Images, source: Source<'_>, options: &ImportOptions) -> Result<Image> {
    let references: Vec<_> = options.reference.iter().map(|name| Reference::parse(name)).collect::<Result<_>>()?;
    let overwrite = options.overwrite.unwrap_or(Overwrite::Refuse);
    let mut config = ImageConfig::new(options.platform.clone().unwrap_or_else(Platform::host));
    config.config = options.checked()?;
    let name = source.name();
    let (reader, total) = open_stream(source)?;
    let meter = Meter::new(&options.listener, total);
    let mut tar = decompress(buffered(Metered::new(reader, &meter)), &options.limits)?;
    let layer = images
        .layers()
        .import(None, &mut tar, None, &images.apply_options(&options.limits))
        .map_err(|error| Error::new(error.kind(), format_args!("import {name:?}")).with_source(error))?;
    meter.finish();
    let created = options.created.unwrap_or_else(Timestamp::now);
    let comment = options.comment.clone().unwrap_or_else(|| format!("Imported from {name}"));
    config.created = Some(created);
    config.rootfs = RootFs::new(vec![layer.diff_id().clone()]);
    config.history = vec![History { created: Some(created), ..History::default() }.comment(comment)];
    let bytes = to_json(&config)?;
    images.publish(&bytes, &references, overwrite).map_err(|error| {
        if !layer.is_new() {
            return error;
        }
        match images.release(std::iter::once(layer.chain_id())) {
            Ok(_) => error,
            Err(failure) => error.with_clean_up(failure),
        }
    })
}

/// Image configurations are stored and digested as these bytes.
pub(crate) fn to_json(config: &ImageConfig) -> Result<Vec<u8>> {
    serde_json::to_vec(config)
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, format_args!("write an image configuration: {error}")))
}

#[cfg(test)]
mod tests;
