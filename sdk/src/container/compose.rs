//! What a container's files say: the definition over the image's configuration. Pure but for the host's name.

use std::collections::BTreeMap;
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::config::{Config, MountPoint, MountSpec, NetworkSettings, Process, RecordedState, default_hostname};
use super::definition::{Device, Settings};
use super::environment::{self, Command};
use super::files::hostname_of_host;
use super::health;
use super::host_config::{DeviceMapping, HostConfig, tmpfs_options};
use super::ipc::IpcMode;
use super::namespaces::{NamespaceMode, UserNamespace};
use super::network::NetworkMode;
use super::publish;
use super::record::Record;
use super::restart::RestartPolicy;
use super::security;
use super::stdio::Stdio;
use super::store::Files;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::image::{HealthCheck, Image};
use crate::spec::container_path::ContainerPath;
use crate::spec::id::ContainerId;
use crate::spec::mount::{Mount, Source};
use crate::spec::name::{ContainerName, VolumeName};
use crate::spec::time::Timestamp;
use crate::spec::user::User;
use crate::sys::probe::{Privilege, privilege};

/// hostname(7) of Linux: `HOST_NAME_MAX`.
const HOSTNAME_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
enum ComposeFault {
    #[error("there is nothing to run: neither the image nor the definition has a command")]
    NoCommand,
    #[error("environment variable {name:?}: {why}")]
    Variable { name: String, why: &'static str },
    #[error("invalid host name {0:?}: it has 1 to {HOSTNAME_MAX} letters, digits, `-` and `.`")]
    Hostname(String),
    #[error("argument {0:?} contains a zero byte")]
    Argument(String),
    #[error("mount {source_path:?} on {target:?}: there is no such file or directory on this host")]
    NoSource { source_path: String, target: String },
    #[error("start it again when it has ended: it is not kept, or removed at its end")]
    Restart,
    #[error("share the users of the host: an ordinary user's containers always have a user namespace")]
    HostUsers,
    #[error("give a privileged container a user namespace: what it is privileged to do takes the host's")]
    PrivilegedUsers,
    #[error("keep it in a network that ends with this program")]
    KeptNetwork,
    #[error("start it again when it has ended: its supervisor cannot join the network of others")]
    RestartNetwork,
    #[error("start it again when it has ended: its supervisor cannot join the shared memory of another one")]
    RestartIpc,
    #[error("start it again when it has ended: its supervisor cannot join the processes of another one")]
    RestartPids,
    #[error("set {0}: the container has the network of others")]
    SharedParameter(String),
    #[error("set its {0}: it has that of the host")]
    HostNames(&'static str),
    #[error("use the device {0:?}: it is none of this host's")]
    NoDevice(std::path::PathBuf),
    #[error("use a device for {0:?}: the uses are r, w and m")]
    DeviceUses(String),
    #[error(
        "restrict the use of {0:?}: a privileged container may use all devices, and an ordinary user's has no rules"
    )]
    DeviceRules(std::path::PathBuf),
    #[error("mount {0:?}: Docker's files take paths in UTF-8 only")]
    Encoding(std::path::PathBuf),
}

impl Fault for ComposeFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSource { .. } | Self::NoDevice(_) => ErrorKind::NotFound,
            Self::Encoding(_)
            | Self::HostUsers
            | Self::KeptNetwork
            | Self::RestartNetwork
            | Self::RestartIpc
            | Self::RestartPids
            | Self::DeviceRules(_) => ErrorKind::Unsupported,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::NoSource { source_path, .. } => Some(Path::new(source_path)),
            Self::Encoding(path) | Self::NoDevice(path) | Self::DeviceRules(path) => Some(path),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoCommand => Some("give one with .cmd([…])".to_owned()),
            Self::Restart => Some("a restart policy takes .keep() (--detach), and no .auto_remove() (--rm)".to_owned()),
            Self::HostNames(_) => Some("leave it out, or choose NamespaceMode::Private (--uts private)".to_owned()),
            Self::KeptNetwork => Some("share the network of a container that is kept: .network(&container)".to_owned()),
            Self::PrivilegedUsers => Some("choose UserNamespace::Host for it".to_owned()),
            Self::NoSource { .. } => {
                Some("create it first; a relative path is one in the current directory".to_owned())
            }
            _ => None,
        }
    }
}

/// The files of a container to be.
pub(super) fn compose<D>(
    id: &ContainerId,
    name: &ContainerName,
    image: &Image<D>,
    reference: &str,
    driver: &str,
    settings: &Settings,
) -> Result<Files> {
    let own = Command { entrypoint: settings.entrypoint.clone(), cmd: settings.cmd.clone() };
    let defaults = &image.config().config;
    let command = own.merge(Command { entrypoint: defaults.entrypoint.clone(), cmd: defaults.cmd.clone() });
    let argv = command.argv();
    let Some((program, arguments)) = argv.split_first() else { return Err(ComposeFault::NoCommand.into()) };
    if let Some(argument) = argv.iter().find(|argument| argument.contains('\0')) {
        return Err(ComposeFault::Argument(argument.clone()).into());
    }
    check_network(settings)?;
    if settings.ipc_namespace.is_of_container() && settings.restart != RestartPolicy::No {
        return Err(ComposeFault::RestartIpc.into());
    }
    if settings.pid_namespace.is_of_container() && settings.restart != RestartPolicy::No {
        return Err(ComposeFault::RestartPids.into());
    }
    settings.resources.check(settings.mistake.as_deref())?;
    let mut mounts = Mounts::default();
    for mount in &settings.mounts {
        mounts.add(mount)?;
    }
    for target in &defaults.volumes {
        mounts.add_anonymous(&ContainerPath::parse(target)?)?;
    }
    let mut labels = defaults.labels.clone();
    labels.extend(settings.labels.clone());
    let process = Process {
        hostname: hostname(id, settings)?,
        domainname: domainname(settings)?,
        user: user(settings, &defaults.user)?,
        tty: settings.tty,
        open_stdin: takes_input(settings),
        // Input of a kept one goes on from one client to the next.
        stdin_once: takes_input(settings) && !settings.kept,
        exposed_ports: defaults
            .exposed_ports
            .iter()
            .cloned()
            .chain(settings.published.iter().map(|(_, port)| port.to_string()))
            .map(|port| (port, Value::Object(Map::new())))
            .collect(),
        env: env(settings, &defaults.env)?,
        cmd: command.cmd,
        healthcheck: health::merge(
            settings.health.as_ref().map(HealthCheck::to_config).as_ref(),
            defaults.healthcheck.as_ref(),
        ),
        image: reference.to_owned(),
        volumes: Some(defaults.volumes.iter().map(|path| (path.clone(), Value::Object(Map::new()))).collect())
            .filter(|volumes: &BTreeMap<_, _>| !volumes.is_empty()),
        working_dir: workdir(settings, &defaults.working_dir)?,
        entrypoint: command.entrypoint,
        labels,
        stop_signal: settings.stop_signal.map(|signal| signal.to_string()).or_else(|| defaults.stop_signal.clone()),
        stop_timeout: settings.stop_timeout.map(|timeout| timeout.as_secs()),
        other: shell(&defaults.shell),
        ..Process::default()
    };
    let config = Config {
        state: RecordedState::created(),
        id: id.as_str().to_owned(),
        created: Timestamp::now().to_string(),
        path: program.clone(),
        args: arguments.to_vec(),
        config: process,
        image: image.id().as_str().to_owned(),
        network_settings: NetworkSettings::only(settings.network.mode.docker_name()),
        log_path: String::new(),
        name: format!("/{name}"),
        driver: driver.to_owned(),
        os: "linux".to_owned(),
        restart_count: 0,
        has_been_started_before: false,
        has_been_manually_stopped: false,
        mount_points: mounts.points,
        other: Map::new(),
    };
    let mut host = HostConfig {
        binds: Some(mounts.binds).filter(|binds| !binds.is_empty()),
        network_mode: settings.network.docker_name(),
        cgroupns_mode: settings.cgroup_namespace.to_string(),
        ipc_mode: settings.ipc_namespace.docker_name(IpcMode::to_string),
        pid_mode: settings.pid_namespace.docker_name(NamespaceMode::docker_name),
        uts_mode: settings.uts_namespace.docker_name(),
        userns_mode: settings
            .user_namespace
            .filter(|it| *it == UserNamespace::Host)
            .map_or_else(String::new, |it| it.to_string()),
        port_bindings: Some(publish::record(&settings.published, settings.network.mode)?),
        privileged: settings.privileged,
        devices: devices(settings)?,
        init: Some(settings.init.unwrap_or(true)),
        readonly_rootfs: settings.read_only,
        console_size: settings.tty_size.map(|(rows, columns)| [rows, columns]),
        tmpfs: Some(mounts.tmpfs).filter(|tmpfs| !tmpfs.is_empty()),
        resources: settings.resources.clone(),
        ..HostConfig::default()
    };
    security::record(&settings.security, &mut host)?;
    let log_options = host.log_config.config.get_or_insert_default();
    if let Some(size) = settings.log_max_size {
        log_options.insert("max-size".to_owned(), size.to_string());
    }
    if let Some(files) = settings.log_max_files {
        log_options.insert("max-file".to_owned(), files.to_string());
    }
    if settings.privileged {
        (host.masked_paths, host.readonly_paths) = (Some(Vec::new()), Some(Vec::new()));
    }
    host.restart_policy = settings.restart.recorded();
    if settings.restart != RestartPolicy::No && (!settings.kept || settings.auto_remove) {
        return Err(ComposeFault::Restart.into());
    }
    let record = Record {
        statistics: settings.statistics,
        kept: settings.kept,
        auto_remove: settings.auto_remove,
        idle: settings.idle.map(|idle| idle.as_millis().try_into().unwrap_or(u64::MAX)),
        user_namespace: user_namespace(settings)?,
        shares_network: settings.network.network.is_some(),
        ..Record::new(settings.network.mode)
    };
    Ok(Files { config, host, record: Some(record) })
}

/// Whether what it shall have goes together with a network of others.
fn check_network(settings: &Settings) -> Result<()> {
    let network = &settings.network;
    if network.network.is_some() && settings.kept {
        return Err(ComposeFault::KeptNetwork.into());
    }
    if network.is_shared() && settings.restart != RestartPolicy::No {
        return Err(ComposeFault::RestartNetwork.into());
    }
    let parameter = settings.security.sysctls.keys().find(|name| name.starts_with("net."));
    match parameter {
        Some(name) if network.is_shared() => Err(ComposeFault::SharedParameter(name.clone()).into()),
        _ => Ok(()),
    }
}

/// The shell of the image, which runs its health check.
fn shell(shell: &[String]) -> Map<String, Value> {
    let known = (!shell.is_empty()).then(|| (health::SHELL.to_owned(), Value::from(shell.to_vec())));
    known.into_iter().collect()
}

/// Whether root is to give it a user namespace.
fn user_namespace(settings: &Settings) -> Result<bool> {
    match (settings.user_namespace, privilege()) {
        (None | Some(UserNamespace::Private), Privilege::User)
        | (None | Some(UserNamespace::Host), Privilege::Root) => Ok(false),
        (Some(UserNamespace::Host), Privilege::User) => Err(ComposeFault::HostUsers.into()),
        (Some(UserNamespace::Private), Privilege::Root) if settings.privileged => {
            Err(ComposeFault::PrivilegedUsers.into())
        }
        (Some(UserNamespace::Private), Privilege::Root) => Ok(true),
    }
}

fn devices(settings: &Settings) -> Result<Option<Vec<DeviceMapping>>> {
    let has_rules = !settings.privileged && privilege() == Privilege::Root;
    let record = |device: &Device| -> Result<DeviceMapping> {
        let source = || device.source.clone();
        let is_device = |kind: FileType| kind.is_char_device() || kind.is_block_device();
        if !device.source.is_absolute() || !device.source.metadata().is_ok_and(|found| is_device(found.file_type())) {
            return Err(ComposeFault::NoDevice(source()).into());
        }
        if !device.has_known_access() {
            return Err(ComposeFault::DeviceUses(device.access.clone()).into());
        }
        if device.is_restricted() && !has_rules {
            return Err(ComposeFault::DeviceRules(source()).into());
        }
        let path = device.source.to_str().ok_or_else(|| ComposeFault::Encoding(source()))?;
        Ok(DeviceMapping {
            path_on_host: path.to_owned(),
            path_in_container: ContainerPath::parse(device.target().unwrap_or(path))?.into(),
            cgroup_permissions: device.access.clone(),
        })
    };
    let devices: Vec<_> = settings.devices.iter().map(record).collect::<Result<_>>()?;
    Ok(Some(devices).filter(|devices| !devices.is_empty()))
}

/// Whether anything will be handed to it: as Docker has it, by one client, at whose end the input ends.
fn takes_input(settings: &Settings) -> bool {
    settings.stdin.as_ref().is_some_and(Stdio::is_source)
}

fn env(settings: &Settings, image: &[String]) -> Result<Vec<String>> {
    for variable in &settings.env {
        if let Some(why) = variable.fault() {
            return Err(ComposeFault::Variable { name: variable.name().to_owned(), why }.into());
        }
    }
    // What the image says is data: a zero byte in it would end the variable early.
    Ok(environment::merge(image, &settings.env).into_iter().filter(|entry| !entry.contains('\0')).collect())
}

fn hostname(id: &ContainerId, settings: &Settings) -> Result<String> {
    let shares_names = settings.uts_namespace == NamespaceMode::Host;
    let Some(hostname) = &settings.hostname else {
        let of_host = (shares_names || settings.network.mode == NetworkMode::Host).then(hostname_of_host).flatten();
        return Ok(of_host.unwrap_or_else(|| default_hostname(id)));
    };
    if shares_names {
        return Err(ComposeFault::HostNames("host name").into());
    }
    let is_valid = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '.';
    if hostname.is_empty() || hostname.len() > HOSTNAME_MAX || !hostname.chars().all(is_valid) {
        return Err(ComposeFault::Hostname(hostname.clone()).into());
    }
    Ok(hostname.clone())
}

fn domainname(settings: &Settings) -> Result<String> {
    let Some(name) = &settings.security.domainname else { return Ok(String::new()) };
    if settings.uts_namespace == NamespaceMode::Host {
        return Err(ComposeFault::HostNames("domain name").into());
    }
    // The kernel takes 64 bytes of it.
    security::word("domain name", name)?;
    match name.len() > HOSTNAME_MAX {
        true => Err(ComposeFault::Hostname(name.clone()).into()),
        false => Ok(name.clone()),
    }
}

fn user(settings: &Settings, image: &str) -> Result<String> {
    let user = settings.user.as_deref().unwrap_or(image);
    if !user.is_empty() {
        User::parse(user)?;
    }
    Ok(user.to_owned())
}

fn workdir(settings: &Settings, image: &str) -> Result<String> {
    let of_image = match image {
        "" => ContainerPath::root(),
        // Images may say `app` and mean `/app`.
        path => ContainerPath::root().join(path)?,
    };
    match &settings.workdir {
        None if of_image.is_root() => Ok(String::new()),
        None => Ok(of_image.into()),
        Some(path) => Ok(of_image.join(path)?.into()),
    }
}

/// Mounts by target; the last one holds.
#[derive(Debug, Default)]
struct Mounts {
    points: BTreeMap<String, MountPoint>,
    binds: Vec<String>,
    tmpfs: BTreeMap<String, String>,
}

impl Mounts {
    fn add(&mut self, mount: &Mount) -> Result<()> {
        mount.check()?;
        let target = mount.target().path()?;
        self.forget(target.as_str());
        let target = target.as_str().to_owned();
        match mount.source() {
            Source::Tmpfs { size, mode } => {
                let options = tmpfs_options(size.map(|size| size.as_u64()), Some(*mode), mount.is_read_only());
                self.tmpfs.insert(target, options);
            }
            Source::Bind(path) => {
                let absolute = std::path::absolute(path)
                    .map_err(|error| Error::os(format_args!("find the absolute path of {path:?}"), error))?;
                let source = absolute.to_str().ok_or_else(|| ComposeFault::Encoding(absolute.clone()))?.to_owned();
                if !absolute.exists() {
                    return Err(ComposeFault::NoSource { source_path: source, target }.into());
                }
                let mode = if mount.is_read_only() { ":ro" } else { "" };
                self.binds.push(format!("{source}:{target}{mode}"));
                let spec = spec("bind", &source, &target, mount);
                let point = MountPoint { source, propagation: "rprivate".to_owned(), ..point(&target, "bind", mount) };
                self.points.insert(target, MountPoint { spec, ..point });
            }
            Source::Anonymous => {
                let name = VolumeName::random()?.as_str().to_owned();
                let point = point(&target, "volume", mount);
                self.points.insert(target, MountPoint { name, driver: "local".to_owned(), ..point });
            }
            Source::Volume(name) => {
                let name = VolumeName::parse(name)?.as_str().to_owned();
                let spec = spec("volume", &name, &target, mount);
                let point = point(&target, "volume", mount);
                self.points.insert(target, MountPoint { name, driver: "local".to_owned(), spec, ..point });
            }
        }
        Ok(())
    }

    /// A volume of the image, unless something else is mounted there.
    fn add_anonymous(&mut self, target: &ContainerPath) -> Result<()> {
        if target.is_root() || self.points.contains_key(target.as_str()) || self.tmpfs.contains_key(target.as_str()) {
            return Ok(());
        }
        self.add(&Mount::anonymous(target))
    }

    fn forget(&mut self, target: &str) {
        self.tmpfs.remove(target);
        if let Some(point) = self.points.remove(target) {
            let mode = if point.rw { "" } else { ":ro" };
            let bind = format!("{}:{target}{mode}", point.source);
            self.binds.retain(|other| *other != bind);
        }
    }
}

fn point(target: &str, kind: &str, mount: &Mount) -> MountPoint {
    MountPoint {
        destination: target.to_owned(),
        rw: !mount.is_read_only(),
        kind: kind.to_owned(),
        ..MountPoint::default()
    }
}

fn spec(kind: &str, source: &str, target: &str, mount: &Mount) -> MountSpec {
    MountSpec {
        kind: kind.to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        read_only: mount.is_read_only(),
        other: Map::new(),
    }
}
