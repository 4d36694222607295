//! From a configuration to the operations of the container's first process, and of the program it becomes.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::config::{Config, Namespace, Process};
use super::fault::Fault;
use super::kept::Kept;
use super::mounts::{self, CgroupView, Prepared as PreparedMount};
use super::options::propagation;
use super::process::bad;
use super::{devices, process};
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::runtime::bundle::{Isolation, ProcessSpec};
use crate::runtime::execute::look_for;
use crate::runtime::fault::Search;
use crate::runtime::masks;
use crate::runtime::mounts::{enter, sysctls};
use crate::runtime::plan::{
    Prepared, Stream, become_helper, become_program, begin, close_from, keep_for_helper, loopback, set_names, settle,
    standard_streams, unblock_signals,
};
use crate::runtime::script::{Lookup, Script};
use crate::runtime::seccomp::SeccompProfile;
use crate::runtime::security;
use crate::runtime::terminal::{self, Wish};
use crate::runtime::users::Users;
use crate::sys::helper::{self, Handover};
use crate::sys::meeting::GO_ON;
use crate::sys::mount::MOVE_MOUNT_F_EMPTY_PATH;
use crate::sys::namespace;
use crate::sys::plan::Register;
use crate::sys::tty::WindowSize;

/// Names of namespaces in a configuration.
const NAMESPACES: [(&str, u64); 7] = [
    ("mount", namespace::MOUNT),
    ("pid", namespace::PID),
    ("ipc", namespace::IPC),
    ("uts", namespace::UTS),
    ("network", namespace::NETWORK),
    ("user", namespace::USER),
    ("cgroup", namespace::CGROUP),
];

/// The namespaces of a container.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// Those of its own, as `CLONE_NEW*` bits; the one for users is joined like one that exists.
    pub new: u64,
    /// Those that it joins, but the one for users.
    pub joined: Vec<(u64, OwnedFd)>,
    pub user: Option<OwnedFd>,
}

impl Namespaces {
    /// Opens and makes what is needed.
    ///
    /// # Errors
    /// If one is asked for twice, is none, or cannot be had.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let linux = &config.linux;
        let mut namespaces = Self { new: 0, joined: Vec::new(), user: None };
        let mut seen = 0;
        for Namespace { kind, path } in &linux.namespaces {
            let known = NAMESPACES.into_iter().find(|(name, _)| name == kind);
            let Some((_, bit)) = known else {
                if kind == "time" {
                    return Err(Fault::Unsupported { what: "a time namespace".to_owned() }.into());
                }
                return Err(bad("linux.namespaces.type", kind, "there is no such namespace").into());
            };
            if seen & bit != 0 {
                return Err(bad("linux.namespaces.type", kind, "it is there twice").into());
            }
            seen |= bit;
            match (path.is_empty(), bit) {
                (true, namespace::USER) => {
                    if linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty() {
                        return Err(Fault::Missing { property: "linux.uidMappings or linux.gidMappings" }.into());
                    }
                    namespaces.user = Some(mounts::namespace(&linux.uid_mappings, &linux.gid_mappings)?);
                }
                (true, bit) => namespaces.new |= bit,
                (false, namespace::MOUNT) => {
                    return Err(Fault::Unsupported { what: "a mount namespace by path".to_owned() }.into());
                }
                (false, bit) => {
                    let file = std::fs::File::open(path);
                    let file = OwnedFd::from(file.attempt(|| format!("open the {kind} namespace {path:?}"))?);
                    match bit {
                        namespace::USER => namespaces.user = Some(file),
                        bit => namespaces.joined.push((bit, file)),
                    }
                }
            }
        }
        if namespaces.new & namespace::MOUNT == 0 {
            return Err(Fault::Unsupported { what: "a container without a mount namespace".to_owned() }.into());
        }
        Ok(namespaces)
    }

    /// Whether it has one of these, new or joined.
    fn has(&self, bits: u64) -> bool {
        self.new & bits != 0 || self.joined.iter().any(|(bit, _)| bits & bit != 0)
    }

    /// Whether the child that joins is not the one that goes on.
    pub(super) fn forks(&self) -> bool {
        !self.joined.is_empty() || self.user.is_some()
    }

    /// What the kernel makes with the child.
    pub(super) fn cloned(&self) -> u64 {
        self.new & !namespace::CGROUP
    }

    pub(super) fn users(&self) -> Users<'_> {
        self.user.as_ref().map_or(Users::Host, Users::Many)
    }
}

/// What the first process is made of.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub config: &'a Config,
    pub process: &'a Process,
    pub spec: &'a ProcessSpec,
    pub rootfs: &'a Path,
    /// In the child, of the copied root file system.
    pub root: u32,
    pub namespaces: &'a Namespaces,
    pub mounts: &'a [PreparedMount],
    pub cgroup: Option<&'a CgroupView>,
    pub streams: &'a [Stream; 3],
    /// Whether descriptor 0 is the socket for the console.
    pub has_terminal: bool,
    /// How many descriptors from 3 on are for the program.
    pub preserved: u32,
    pub kept: &'a Kept,
    /// In the child, of the socket over which it waits for the hooks.
    pub meeting: Option<u32>,
}

/// The plan of the first process, which ends in the helper, and waits there for its start.
pub(super) fn start(it: &Start<'_>, handover: Handover) -> Result<Prepared> {
    let mut script = Script::new();
    let search = write(&mut script, it, handover)?;
    let (blob, steps) = script.seal()?;
    Ok(Prepared { blob, steps, search: Some(search) })
}

/// Writes it; the search is for the program that the container will become.
fn write(script: &mut Script, it: &Start<'_>, handover: Handover) -> Result<Search> {
    let (config, users) = (it.config, it.namespaces.users());
    hand_over(script, it, users)?;
    preserve(script, 0..it.preserved, helper::FREE);
    keep_for_helper(script, handover);
    it.kept.place(script);
    close_from(script, it.kept.end());
    if it.namespaces.new & namespace::NETWORK != 0 {
        loopback(script);
    }
    if it.namespaces.new & namespace::CGROUP != 0 {
        script.step("create a cgroup namespace");
        script.plan.call(libc::SYS_unshare, &[namespace::CGROUP.into()]);
    }
    script.step("cut the mounts off from the host's");
    let slash = script.text("/")?;
    let flags = libc::MS_REC | libc::MS_SLAVE;
    script.plan.call(libc::SYS_mount, &[0.into(), slash.into(), 0.into(), flags.into(), 0.into()]);
    let root = root(script, it)?;
    let later = mounts::attach(script, root, it.mounts, it.cgroup)?;
    let binds_dev = config.mounts.iter().any(|mount| {
        mount.destination.trim_end_matches('/') == "/dev" && mount.options.iter().any(|word| word.ends_with("bind"))
    });
    if !binds_dev {
        devices::make(script, root, &config.linux.devices, users.are_mapped())?;
    }
    let peer = match it.has_terminal {
        false => None,
        true => {
            let size = it
                .process
                .console_size
                .map_or(WindowSize::default(), |size| WindowSize { rows: size.height, columns: size.width });
            let peer = terminal::make(script, root, Wish { size, owner: it.spec.user.uid })?;
            let (_, dev) = script.look_up(root, "dev", Lookup::Directory)?;
            terminal::console(script, root, dev, peer)?;
            script.close(dev);
            Some(peer)
        }
    };
    mounts::finish(script, later);
    settings(script, root, it)?;
    if let Some(meeting) = it.meeting {
        wait_for_hooks(script, meeting);
    }
    if let Some(peer) = peer {
        terminal::take(script, peer);
    }
    script.step(format!("create the working directory {:?} of the container", it.spec.cwd));
    let cwd = script.make_directory(root, it.spec.cwd.relative())?;
    masks::forbid_all(script, root, &config.linux.readonly_paths)?;
    devices::mask(script, root, &config.linux.masked_paths)?;
    enter(script, root, config.root.as_ref().is_some_and(|root| root.readonly))?;
    propagate(script, &config.linux.rootfs_propagation)?;
    set_names(script, &config.hostname, &config.domainname)?;
    script.step(format!("change to the working directory {:?}", it.spec.cwd));
    script.plan.call(libc::SYS_fchdir, &[cwd.into()]);
    let search = look_for(script, it.spec)?;
    process::prepare(script, it.process, config.linux.personality.as_ref())?;
    // What the container's own filter would forbid the helper, it is to forbid the program only, where that is possible.
    let mut spec = it.spec.clone();
    if spec.no_new_privileges {
        spec.seccomp = SeccompProfile::Unconfined;
    }
    settle(script, &spec, cwd, helper::FREE + it.preserved, users)?;
    become_helper(script, it.spec)?;
    Ok(search)
}

/// The plan that the helper walks when the container is started.
pub(super) fn payload(spec: &ProcessSpec, preserved: u32) -> Result<Prepared> {
    let mut script = Script::new();
    let found = script.plan.register();
    if preserved > 0 {
        // Its fifo goes last: whoever waits at the other end takes that for the beginning of the program.
        script.step("keep the fifo");
        let after = helper::FREE + preserved;
        script.plan.call(libc::SYS_fcntl, &[helper::SOCKET.into(), libc::F_DUPFD_CLOEXEC.into(), after.into()]);
        script.step("hand descriptors over");
        for number in 0..preserved {
            let (from, to) = (helper::FREE + number, helper::SOCKET + number);
            script.plan.call(libc::SYS_dup3, &[from.into(), to.into(), 0.into()]);
        }
        let first = (helper::SOCKET + preserved).into();
        const CLOSE_ON_EXEC: u32 = 4;
        script.plan.call(libc::SYS_close_range, &[first, u32::MAX.into(), CLOSE_ON_EXEC.into()]);
    }
    // After the filter nothing but the execution is left to be allowed.
    unblock_signals(&mut script);
    security::confine(&mut script, spec)?;
    become_program(script, spec, found)
}

/// As [`hand_over_streams`](crate::runtime::plan::hand_over_streams), with namespaces that are joined.
fn hand_over(script: &mut Script, it: &Start<'_>, users: Users<'_>) -> Result<()> {
    begin(script);
    script.plan.gate();
    let mut join = |what: &str, fd: &OwnedFd, bit: u64| {
        script.step(format!("join the {what} namespace"));
        script.plan.call(libc::SYS_setns, &[fd.as_raw_fd().into(), bit.into()]);
    };
    for (bit, fd) in &it.namespaces.joined {
        let name = NAMESPACES.iter().find(|(_, known)| known == bit).map_or("", |(name, _)| *name);
        join(name, fd, *bit);
    }
    // The last: who is in it may join no others of the host's.
    if let Some(user) = &it.namespaces.user {
        join("user", user, namespace::USER);
    }
    if it.namespaces.forks() {
        script.step("create the namespaces of the container");
        script.plan.fork(it.namespaces.cloned());
        begin(script);
    }
    if users.are_mapped() {
        script.step("become root");
        for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
            script.plan.call(call, &[0.into(), 0.into(), 0.into()]);
        }
    }
    script.step("begin a session");
    script.plan.call(libc::SYS_setsid, &[]);
    standard_streams(script, it.streams)
}

/// Moves the descriptors that are for the program out of the helper's way, the last one first.
fn preserve(script: &mut Script, numbers: std::ops::Range<u32>, to: u32) {
    for number in numbers.rev() {
        script.step(format!("keep descriptor {}", helper::SOCKET + number)).hint =
            Some("--preserve-fds counts descriptors from 3 on, which must be open");
        let (from, to) = (helper::SOCKET + number, to + number);
        script.plan.call(libc::SYS_dup3, &[from.into(), to.into(), 0.into()]);
    }
}

/// Attaches the root file system in its own place, so that hooks find it there; in a user namespace, which may have no
/// way to that place, over everything.
fn root(script: &mut Script, it: &Start<'_>) -> Result<Register> {
    script.step(format!("mount the root file system {:?}", it.rootfs));
    let root = mounts::take(script, it.root);
    script.change_mount(root, [0, 0], libc::MS_SLAVE, 0, crate::sys::mount::AT_RECURSIVE);
    let place = if it.namespaces.user.is_some() { Path::new("/") } else { it.rootfs };
    let (empty, place) = (script.empty, script.path(place)?);
    let flags = MOVE_MOUNT_F_EMPTY_PATH.into();
    let arguments = [root.into(), empty.into(), libc::AT_FDCWD.into(), place.into(), flags];
    script.plan.call(libc::SYS_move_mount, &arguments);
    Ok(root)
}

fn wait_for_hooks(script: &mut Script, meeting: u32) {
    script.step("wait for the hooks");
    let (byte, answer) = (script.plan.bytes(&[0]), script.plan.buffer(8));
    script.plan.call(libc::SYS_write, &[meeting.into(), byte.into(), 1.into()]);
    script.plan.call(libc::SYS_read, &[meeting.into(), answer.into(), 1.into()]);
    script.plan.expect(answer, GO_ON, libc::ECANCELED);
}

/// Settings of the kernel; each must belong to a namespace of the container.
fn settings(script: &mut Script, root: Register, it: &Start<'_>) -> Result<()> {
    let linux = &it.config.linux;
    if linux.sysctl.is_empty() {
        return Ok(());
    }
    for name in linux.sysctl.keys() {
        let dotted = name.replace('/', ".");
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| dotted.starts_with(prefix));
        let needs = match () {
            () if starts(&["net."]) => namespace::NETWORK,
            () if starts(&["kernel.msg", "kernel.shm", "kernel.sem", "fs.mqueue."]) => namespace::IPC,
            () if starts(&["kernel.hostname", "kernel.domainname"]) => namespace::UTS,
            () => return Err(bad("linux.sysctl", name, "it belongs to no namespace").into()),
        };
        if !it.namespaces.has(needs) {
            return Err(bad("linux.sysctl", name, "its namespace is the host's").into());
        }
    }
    let (_, proc) = script.look_up(root, "proc", Lookup::RealDirectory)?;
    let sysctl = linux.sysctl.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    sysctls(script, proc, &Isolation { sysctls: sysctl, ..Isolation::default() })?;
    script.close(proc);
    Ok(())
}

/// How mounts of the container's root spread.
fn propagate(script: &mut Script, word: &str) -> Result<()> {
    if word.is_empty() {
        return Ok(());
    }
    let found = propagation(word);
    let (flag, recursive) =
        found.ok_or_else(|| bad("linux.rootfsPropagation", word, "it is shared, slave, private or unbindable"))?;
    script.step(format!("make the root file system {word}"));
    let slash = script.text("/")?;
    let flags = flag | if recursive { libc::MS_REC } else { 0 };
    script.plan.call(libc::SYS_mount, &[0.into(), slash.into(), 0.into(), flags.into(), 0.into()]);
    Ok(())
}

/// What plywood does not have, and names that would be the host's.
pub(super) fn check(config: &Config, namespaces: &Namespaces) -> Result<()> {
    let linux = &config.linux;
    for (is_asked, what) in [
        (linux.intel_rdt.is_some(), "linux.intelRdt"),
        (
            linux.time_offsets.as_ref().is_some_and(|it| it.as_object().is_some_and(|it| !it.is_empty())),
            "linux.timeOffsets",
        ),
        (!linux.mount_label.is_empty(), "linux.mountLabel"),
    ] {
        if is_asked {
            return Err(Fault::Unsupported { what: what.to_owned() }.into());
        }
    }
    for (property, name) in [("hostname", &config.hostname), ("domainname", &config.domainname)] {
        if !name.is_empty() && !namespaces.has(namespace::UTS) {
            return Err(bad(property, name, "it would be the host's: there is no uts namespace").into());
        }
    }
    let version = config.oci_version.split('.').next();
    if version != Some("1") {
        let why = "plywood reads versions 1.x";
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("use the bundle: ociVersion is {:?}: {why}", config.oci_version),
        ));
    }
    Ok(())
}
