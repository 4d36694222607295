//! Makes a container, up to the moment before its program begins.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

use super::config::{Config, Mapping, Process};
use super::fault::Fault;
use super::hooks::{self, Place};
use super::kept::{Kept, high};
use super::mounts::{self, CgroupView};
use super::plan::{self, Namespaces, Start};
use super::process::bad;
use super::resources::{self, Wanted};
use super::state::{Directory, Record, Status, read_config};
use super::{Container, Runtime, process};
use crate::error::{Attempt, Error, Result};
use crate::runtime::bundle::ProcessSpec;
use crate::runtime::cgroup;
use crate::runtime::outside;
use crate::runtime::plan::{Prepared, Stream};
use crate::runtime::seccomp::SeccompProfile;
use crate::runtime::spawn::open_group;
use crate::spec::Timestamp;
use crate::sys::cgroup::{Made, remove_directories};
use crate::sys::clone::{self, Child, Gate, Options};
use crate::sys::meeting::Meeting;
use crate::sys::visible::Visibility;
use crate::sys::waiting::Waiting;
use crate::sys::{helper, mount, namespace, signal, wait};

/// How a container is made.
#[derive(Debug, Clone, Default)]
pub struct Create {
    pub(super) console_socket: Option<PathBuf>,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) preserved: u32,
    pub(super) systemd: bool,
    pub(super) no_keyring: bool,
}

impl Create {
    /// Without any of what follows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends the terminal of the container over this socket, as `SCM_RIGHTS`.
    #[doc(alias = "--console-socket")]
    pub fn console_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.console_socket = Some(path.into());
        self
    }

    /// Writes the number of the container's process to this file.
    #[doc(alias = "--pid-file")]
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// Gives the program so many descriptors of this process, from 3 on. Those that `LISTEN_FDS` counts are added.
    #[doc(alias = "--preserve-fds")]
    pub fn preserve_fds(mut self, count: u32) -> Self {
        self.preserved = count;
        self
    }

    /// Lets systemd make the cgroup. That is refused: plywood makes cgroups itself.
    #[doc(alias = "--systemd-cgroup")]
    pub fn systemd_cgroup(mut self, systemd: bool) -> Self {
        self.systemd = systemd;
        self
    }

    /// Leaves the program the session keyring of this process.
    #[doc(alias = "--no-new-keyring")]
    pub fn no_new_keyring(mut self) -> Self {
        self.no_keyring = true;
        self
    }
}

impl Runtime {
    /// Makes a container of a bundle: a directory with `config.json`, and mostly the root file system. Its program waits for
    /// [`start`](Container::start).
    ///
    /// Blocks until its hooks `prestart`, `createRuntime` and `createContainer` have ended. Its standard streams are those of
    /// this process, unless it has a terminal.
    ///
    /// # Errors
    /// They name the property, or the step. Nothing is left behind then but directories that were made to be mounted on.
    pub fn create(&self, id: &str, bundle: impl AsRef<Path>, options: &Create) -> Result<Container> {
        let directory = Directory::new(&self.root, id)?;
        let bundle = bundle.as_ref();
        let bundle = bundle.canonicalize().attempt(|| format!("use the bundle {bundle:?}"))?;
        let (config, text) = read_config(&bundle)?;
        directory.create(id)?;
        let made = directory.lock(id).and_then(|_lock| {
            directory.save_config(&text)?;
            Making::new(id, &directory, &bundle, &config, options)?.finish()
        });
        match made {
            Ok(()) => Ok(Container { id: id.to_owned(), directory }),
            Err(error) => match directory.remove() {
                Ok(()) => Err(error),
                Err(failure) => Err(error.with_clean_up(failure)),
            },
        }
    }
}

/// A container that is being made.
struct Making<'a> {
    directory: &'a Directory,
    config: &'a Config,
    options: &'a Create,
    process: &'a Process,
    spec: ProcessSpec,
    record: Record,
}

/// How many descriptors a program can be given: the plan of a process has room for more, and nobody asks for them.
const MOST_PRESERVED: u32 = 1024;

/// The profile of a configuration, in words that its reader knows.
pub(super) fn profile(config: &Config) -> Result<SeccompProfile> {
    match &config.linux.seccomp {
        None => Ok(SeccompProfile::Unconfined),
        Some(document) => SeccompProfile::custom(document.to_string()),
    }
}

/// What the program shall be, with the keyring and the descriptors that were asked for.
pub(super) fn spec(config: &Config, process: &Process, record: &Record) -> Result<ProcessSpec> {
    let mut spec = process::spec(process, profile(config)?)?;
    spec.keyring = record.keyring;
    let listening = std::env::var("LISTEN_FDS").ok().filter(|_| record.preserved > 0);
    if let Some(count) = listening.filter(|_| spec.variable("LISTEN_FDS").is_none()) {
        spec.env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
    }
    Ok(spec)
}

impl<'a> Making<'a> {
    fn new(id: &str, directory: &'a Directory, bundle: &Path, config: &'a Config, options: &'a Create) -> Result<Self> {
        let process = config.process.as_ref().ok_or(Fault::Missing { property: "process" })?;
        let root = config.root.as_ref().ok_or(Fault::Missing { property: "root" })?;
        let rootfs = bundle.join(&root.path);
        let rootfs = rootfs.canonicalize().attempt(|| format!("use the root file system {rootfs:?}"))?;
        let listening = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<u32>().ok());
        let preserved = options.preserved.saturating_add(listening.unwrap_or(0));
        if preserved > MOST_PRESERVED {
            return Err(bad("--preserve-fds", preserved, "it is 1024 at most").into());
        }
        let record = Record {
            oci_version: config.oci_version.clone(),
            id: id.to_owned(),
            bundle: bundle.to_owned(),
            rootfs,
            annotations: config.annotations.clone(),
            created: Timestamp::now().to_string(),
            preserved,
            keyring: !options.no_keyring,
            ..Record::default()
        };
        let spec = spec(config, process, &record)?;
        Ok(Self { directory, config, options, process, spec, record })
    }

    /// Makes its cgroup and its process, and takes both away if something fails.
    fn finish(mut self) -> Result<()> {
        let namespaces = Namespaces::new(self.config)?;
        plan::check(self.config, &namespaces)?;
        let wanted = Wanted::new(&self.config.linux.resources)?;
        let path = resources::path(&self.config.linux.cgroups_path, &self.record.id, self.options.systemd)?;
        let cgroup = wanted.create(&path)?;
        self.record.cgroups = cgroup.group.directories().map(Path::to_owned).collect();
        self.record.made.clone_from(&cgroup.directories);
        let done = self.start(&namespaces, &cgroup).and_then(|child| {
            let started = self.started(&child, &wanted, &cgroup);
            started.inspect_err(|_| end(&child))
        });
        done.map_err(|error| {
            let removed = cgroup.group.remove();
            remove_directories(&cgroup.directories);
            match removed {
                Ok(()) => error,
                Err(failure) => error.with_clean_up(Error::os("remove the cgroup of the container", failure)),
            }
        })
    }

    /// Starts the process, which waits in the end; its hooks have run then.
    fn start(&mut self, namespaces: &Namespaces, cgroup: &Made) -> Result<Child> {
        let mut kept = Kept::new(helper::FREE + self.record.preserved);
        let rootfs = self.record.rootfs.clone();
        let copied = mount::copy(&rootfs, true).attempt(|| format!("mount the root file system {rootfs:?}"))?;
        let root = kept.add(copied);
        let mounts = mounts::prepare(&self.record.bundle, &self.config.mounts, namespaces.user.as_ref(), &mut kept)?;
        mounts::check_copies(&rootfs, &mounts)?;
        let hooks = &self.config.hooks;
        let has_hooks =
            [&hooks.prestart, &hooks.create_runtime, &hooks.create_container].iter().any(|hooks| !hooks.is_empty());
        let meeting = match has_hooks {
            false => None,
            true => {
                let (ours, theirs) = Meeting::new().attempt(|| "create a socket")?;
                Some((ours, kept.add(theirs)))
            }
        };
        kept.raise()?;
        let end = kept.end();
        let streams = self.streams(end)?;
        let payload = plan::payload(&self.spec, self.record.preserved)?;
        let waiting =
            Waiting::new(self.directory.path(), &payload.blob, end).attempt(|| "prepare the start of the container")?;
        let view = CgroupView::new(&cgroup.group, namespaces.new & namespace::CGROUP != 0);
        let start = Start {
            config: self.config,
            process: self.process,
            spec: &self.spec,
            rootfs: &rootfs,
            root,
            namespaces,
            mounts: &mounts,
            cgroup: Some(&view),
            streams: &streams,
            has_terminal: self.process.terminal,
            preserved: self.record.preserved,
            kept: &kept,
            meeting: meeting.as_ref().map(|(_, number)| *number),
        };
        let prepared = plan::start(&start, waiting.handover())?;
        match meeting {
            None => self.spawn(prepared, namespaces, cgroup),
            Some((meeting, _)) => self.spawn_with_hooks(prepared, namespaces, cgroup, (meeting, kept)),
        }
    }

    fn spawn(&self, mut prepared: Prepared, namespaces: &Namespaces, cgroup: &Made) -> Result<Child> {
        let directory = open_group(Some(&cgroup.group))?;
        let options = Options {
            namespaces: if namespaces.forks() { 0 } else { namespaces.cloned() },
            forks: namespaces.forks(),
            visibility: Visibility::Hidden,
            cgroup: directory.as_ref().map(AsFd::as_fd),
            gate: Gate::Closed,
        };
        let mut refused = None;
        let join = |pid, _: BorrowedFd<'_>| {
            cgroup::join(&cgroup.group, pid).map_err(|error| {
                refused = Some(error);
                std::io::ErrorKind::Other.into()
            })
        };
        let spawned = clone::spawn(&mut prepared.blob, options, join, |_, _| Ok(()));
        spawned.map_err(|failure| refused.unwrap_or_else(|| prepared.error(failure)))
    }

    /// The same, while another thread runs the hooks when the child has come so far.
    fn spawn_with_hooks(
        &self,
        prepared: Prepared,
        namespaces: &Namespaces,
        cgroup: &Made,
        (meeting, kept): (Meeting, Kept),
    ) -> Result<Child> {
        thread::scope(|scope| {
            let hooks = thread::Builder::new().name("hooks".into()).spawn_scoped(scope, || {
                let meeting = meeting;
                let attempt = || "wait for the container's process";
                let Some(pid) = meeting.wait().attempt(attempt)? else { return Ok(()) };
                self.run_hooks(pid)?;
                meeting.go_on().attempt(attempt)
            });
            let hooks = hooks.attempt(|| "start a thread")?;
            let spawned = self.spawn(prepared, namespaces, cgroup);
            // With the last copy of the child's socket: one that has ended before does not keep the thread waiting.
            drop(kept);
            let ran =
                hooks.join().unwrap_or_else(|_| Err(Error::new(crate::ErrorKind::Failed, "run hooks: it panicked")));
            match (spawned, ran) {
                // The child has given up because of it.
                (Err(_), Err(error)) => Err(error),
                (Ok(child), Err(error)) => {
                    end(&child);
                    Err(error)
                }
                (spawned, Ok(())) => spawned,
            }
        })
    }

    fn run_hooks(&self, pid: u32) -> Result<()> {
        let start_time = wait::start_time(pid).attempt(|| "look at the container's process")?;
        let record = Record { pid, start_time, ..self.record.clone() };
        self.directory.save(&record)?;
        let mut state = self.directory.state(&record);
        state.status = Status::Creating;
        let (state, hooks) = (state.to_json(), &self.config.hooks);
        let beside = Place::Runtime(&self.record.bundle);
        hooks::run("prestart", &hooks.prestart, &state, beside)?;
        hooks::run("createRuntime", &hooks.create_runtime, &state, beside)?;
        hooks::run("createContainer", &hooks.create_container, &state, Place::Container(pid))
    }

    /// Writes down what runs now, and limits it.
    fn started(&mut self, child: &Child, wanted: &Wanted, cgroup: &Made) -> Result<()> {
        outside::set_oom_score(child.pid, &self.spec)?;
        wanted.limit_memory(&cgroup.group)?;
        self.record.pid = child.pid;
        self.record.start_time = wait::start_time(child.pid).attempt(|| "look at the container's process")?;
        self.record.is_created = true;
        self.directory.save(&self.record)?;
        write_pid(self.options.pid_file.as_deref(), child.pid)
    }

    fn streams(&self, least: u32) -> Result<[Stream; 3]> {
        match (&self.options.console_socket, self.process.terminal) {
            (Some(socket), true) => Ok([Stream::Fd(connect(socket, least)?), Stream::Null, Stream::Null]),
            (None, true) => Err(Fault::NoConsole.into()),
            (_, false) => {
                give_pipes(self.config, self.spec.user.uid);
                Ok([Stream::Inherit, Stream::Inherit, Stream::Inherit])
            }
        }
    }
}

/// Connects to the socket over which a terminal is sent.
pub(super) fn connect(socket: &Path, least: u32) -> Result<OwnedFd> {
    let connected = UnixStream::connect(socket).attempt(|| format!("connect to the console socket {socket:?}"))?;
    high(&OwnedFd::from(connected), least)
}

/// Lets the user of the container open its own standard streams by name: those that are pipes belong to it.
pub(super) fn give_pipes(config: &Config, uid: u32) {
    let mappings = &config.linux.uid_mappings;
    let holds = |it: &&Mapping| uid >= it.container_id && uid - it.container_id < it.size;
    let uid = match (mappings.is_empty(), mappings.iter().find(holds)) {
        (true, _) => uid,
        (false, it) => match it.and_then(|it| it.host_id.checked_add(uid - it.container_id)) {
            Some(uid) => uid,
            // Nobody on the host.
            None => return,
        },
    };
    for fd in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let is_pipe = fd
            .try_clone_to_owned()
            .and_then(|fd| File::from(fd).metadata())
            .is_ok_and(|found| found.file_type().is_fifo() || found.file_type().is_socket());
        if is_pipe && uid != 0 {
            // A pipe of somebody else stays so.
            let _ = rustix::fs::fchown(fd, Some(rustix::fs::Uid::from_raw(uid)), None);
        }
    }
}

/// Writes a number to a file, which others wait for: by one rename.
pub(super) fn write_pid(file: Option<&Path>, pid: u32) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let attempt = || format!("write {file:?}");
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, pid.to_string()).and_then(|()| std::fs::rename(&new, file)).attempt(attempt)
}

/// Ends a process that nobody will ever hear of.
fn end(child: &Child) {
    let _ = signal::send(&child.pidfd, libc::SIGKILL);
    let _ = wait::reap(&child.pidfd);
}
