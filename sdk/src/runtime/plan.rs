//! From a bundle to the operations of the child, in their order.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::bundle::{Bundle, NetworkMode, ProcessSpec};
use super::cgroup_mounts;
use super::execute::{execute, strings};
use super::fault::Search;
use super::mounts;
use super::script::{Lookup, Script};
use super::security;
use super::serve;
use super::shared_memory;
use super::shifted::Shifted;
use super::target::Target;
use super::terminal::{self, Wish};
use super::tools::{self, Tools};
use super::users::Users;
use crate::error::{Attempt, Error, Result};
use crate::sys::cgroup::Group;
use crate::sys::clone::Failure;
use crate::sys::helper::{self, Handover, Role};
use crate::sys::mount::{AT_EMPTY_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, open_how};
use crate::sys::namespace;
use crate::sys::plan::{ANY, Blob, Register};
use crate::sys::signal;

use super::script::Steps;

/// A plan ready to be walked.
#[derive(Debug)]
pub(super) struct Prepared {
    pub blob: Blob,
    pub steps: Steps,
    /// What it executes in the end, unless that is the helper.
    pub search: Option<Search>,
}

impl Prepared {
    /// The error of a child that did not come to its end.
    pub(super) fn error(&self, failure: Failure) -> Error {
        match (failure, &self.search) {
            (Failure::Step { step, errno }, Some(search)) => match self.steps.candidate(step) {
                Some(candidate) => search.error(&self.blob, candidate, errno),
                None => self.steps.error(&self.blob, Failure::Step { step, errno }),
            },
            (failure, _) => self.steps.error(&self.blob, failure),
        }
    }
}

/// What one of the three standard streams will be in the child.
#[derive(Debug)]
pub(super) enum Stream {
    /// The container's `/dev/null`.
    Null,
    /// The host program's own.
    Inherit,
    /// This descriptor, which is beyond the standard ones.
    Fd(OwnedFd),
}

/// The first descriptor that is no standard stream.
pub(super) const FIRST_FREE: u32 = 3;

/// Request to make a process group the one in front of a terminal.
const TIOCSPGRP: u32 = 0x5410;

const PATH_MAX: usize = 4096;

/// Request to set the flags of a network interface, and the flags.
const SIOCSIFFLAGS: u32 = 0x8914;
const UP_AND_RUNNING: u64 = (libc::IFF_UP | libc::IFF_RUNNING) as u64;

/// `SIG_SETMASK`, and the size of the kernel's signal set.
const SET_MASK: i32 = 2;
const SIGNAL_SET: u64 = 8;

/// What the helper is called as process 1.
const INIT: &str = "/sbin/plywood-init";

/// The namespaces of a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Namespaces<'a> {
    /// Those of its own, as `CLONE_NEW*` bits.
    pub own: u64,
    /// The network, if that is there already.
    pub network: Option<&'a OwnedFd>,
}

/// The plan of a container's first process, which becomes the helper.
pub(super) fn start(
    bundle: &Bundle,
    streams: &[Stream; 3],
    terminal: Option<Wish>,
    users: Users<'_>,
    namespaces: Namespaces<'_>,
    handover: Handover,
    group: Option<&Group>,
) -> Result<Prepared> {
    let mut script = Script::new();
    let is_served = bundle.rootfs.is_served();
    let pids = bundle.pids.as_ref().map(AsFd::as_fd);
    match is_served && !matches!(users, Users::Shifted(_)) {
        true => serve::hand_over_streams(&mut script, streams, users)?,
        false => hand_over_streams(&mut script, streams, users, namespaces.own, pids)?,
    }
    if let (Some(network), false) = (namespaces.network, matches!(users, Users::Below { .. })) {
        script.step("join a network namespace");
        script.plan.call(libc::SYS_setns, &[network.as_raw_fd().into(), namespace::NETWORK.into()]);
    }
    let shared_memory = bundle.shared_memory.as_ref().map(|shared| shared.join(&mut script)).transpose()?;
    let first_free = keep_for_helper(&mut script, handover);
    let mut served = None;
    let shifted = match (users, shared_memory) {
        (Users::Shifted(namespace), _) => {
            Some(Shifted::new(&mut script, bundle, namespace, first_free, group)?.join(&mut script, namespaces.own))
        }
        (_, copy) if is_served => {
            served = Some(serve::start(&mut script, bundle, users, copy, namespaces.own, group)?);
            None
        }
        (_, Some(copy)) => {
            script.plan.call(libc::SYS_dup3, &[copy.into(), shared_memory::MOUNT.into(), libc::O_CLOEXEC.into()]);
            script.plan.release(copy);
            close_from(&mut script, shared_memory::MOUNT + 1);
            None
        }
        (_, None) => {
            close_from(&mut script, first_free);
            None
        }
    };
    if bundle.network != NetworkMode::Host && namespaces.network.is_none() {
        loopback(&mut script);
    }
    if bundle.host_namespaces & namespace::CGROUP == 0 {
        script.step("create a cgroup namespace");
        script.plan.call(libc::SYS_unshare, &[namespace::CGROUP.into()]);
    }
    let (root, sources) = match shifted {
        Some(shifted) => (shifted.root, shifted.sources),
        None => {
            mounts::isolate(&mut script)?;
            let root = match served {
                Some(root) => root,
                None => mounts::root(&mut script, &bundle.rootfs, users.are_mapped())?,
            };
            (root, vec![None; bundle.mounts.len()])
        }
    };
    mounts::cover(&mut script, root)?;
    let dev = mounts::defaults(&mut script, root, bundle, users)?;
    cgroup_mounts::mount(&mut script, root, bundle, group, users)?;
    // Before anything else is mounted: what leads to the devpts is ours so far.
    let peer = terminal.map(|wish| terminal::make(&mut script, root, wish)).transpose()?;
    if let Some(peer) = peer {
        terminal::console(&mut script, root, dev, peer)?;
    }
    for (mount, source) in bundle.mounts.iter().zip(sources) {
        mounts::mount(&mut script, root, mount, bundle, source)?;
    }
    script.step("open /dev/null of the container");
    let null = script.text("null")?;
    let flags = libc::O_RDWR | libc::O_CLOEXEC;
    let null = script.get(libc::SYS_openat, &[dev.into(), null.into(), flags.into()]);
    null_streams(&mut script, streams, null);
    if let Some(peer) = peer {
        terminal::take(&mut script, peer);
    }
    if bundle.init && bundle.shares_pids() {
        script.step("take care of orphans");
        script.plan.call(libc::SYS_prctl, &[libc::PR_SET_CHILD_SUBREAPER.into(), 1.into()]);
    }
    let spec = &bundle.process;
    script.step(format!("create the working directory {:?} of the container", spec.cwd));
    let cwd = script.make_directory(root, spec.cwd.relative())?;
    mounts::enter(&mut script, root, bundle.read_only_rootfs)?;
    set_names(&mut script, &bundle.hostname, &bundle.isolation.domainname)?;
    settle(&mut script, spec, cwd, first_free, users)?;
    end(script, spec)
}

/// Names the host and the domain, unless they are empty.
pub(super) fn set_names(script: &mut Script, host: &str, domain: &str) -> Result<()> {
    for (what, name, call) in [("host", host, libc::SYS_sethostname), ("domain", domain, libc::SYS_setdomainname)] {
        if !name.is_empty() {
            script.step(format!("set the {what} name {name:?}"));
            let (length, name) = (name.len() as u64, script.text(name)?);
            script.plan.call(call, &[name.into(), length.into()]);
        }
    }
    Ok(())
}

/// The end of the plans of this program's children: the helper.
fn end(mut script: Script, spec: &ProcessSpec) -> Result<Prepared> {
    become_helper(&mut script, spec)?;
    let (blob, steps) = script.seal()?;
    Ok(Prepared { blob, steps, search: None })
}

/// The plan that the helper walks, in a child if it stays as process 1.
pub(super) fn payload(spec: &ProcessSpec, role: Role) -> Result<Prepared> {
    let mut script = Script::new();
    let found = script.plan.register();
    if role == Role::Init {
        script.step("begin a process group");
        script.plan.call(libc::SYS_setpgid, &[0.into(), 0.into()]);
        // With a terminal it is the one that reads from it. Without one there is nothing to be done.
        let (own, group) = (script.get(libc::SYS_getpid, &[]), script.plan.buffer(8));
        script.plan.store(group, own);
        script.attempt(libc::SYS_ioctl, &[0.into(), TIOCSPGRP.into(), group.into()], &[ANY]);
    }
    finish(script, spec, found)
}

/// The plan of a further process: it joins the namespaces of the container, and goes on in a child that is in the pid
/// namespace too.
pub(super) fn exec(
    target: &Target<'_>,
    spec: &ProcessSpec,
    streams: &[Stream; 3],
    terminal: Option<Wish>,
    tools: Option<&Tools>,
    handover: Handover,
) -> Result<Prepared> {
    let mut script = Script::new();
    begin(&mut script);
    // Its cgroup comes before all else.
    script.plan.gate();
    standard_streams(&mut script, streams)?;
    script.step(JOIN);
    script.plan.call(libc::SYS_setns, &[target.pidfd().as_raw_fd().into(), target.namespaces().into()]);
    // Only now: the container's descriptor may have one of these numbers.
    let first_free = keep_for_helper(&mut script, handover);
    // A pid namespace holds the children of the one that joins it, and refuses them once its first process has ended.
    script.plan.fork(0);
    begin(&mut script);
    let users = Users::joined(target);
    if matches!(users, Users::Joined) {
        become_root(&mut script);
    }
    script.step("begin a session");
    script.plan.call(libc::SYS_setsid, &[]);
    script.step("open the root of the container");
    let (slash, flags) = (script.text("/")?, libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
    let root = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), slash.into(), flags.into()]);
    if streams.iter().any(|stream| matches!(stream, Stream::Null)) {
        script.step("open /dev/null of the container");
        let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NOCTTY;
        let how = open_how(flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        let null = script.open_in(root, "dev/null", how)?;
        null_streams(&mut script, streams, null);
    }
    if let Some(wish) = terminal {
        let peer = terminal::make(&mut script, root, wish)?;
        terminal::take(&mut script, peer);
    }
    let root = match tools {
        None => root,
        Some(tools) => {
            script.close(root);
            tools::enter(&mut script, tools)?;
            script.step("open the root of the programs");
            script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), slash.into(), flags.into()])
        }
    };
    script.step(format!("use the working directory {:?} of the container", spec.cwd));
    let (_, cwd) = script.look_up(root, spec.cwd.relative(), Lookup::Directory)?;
    settle(&mut script, spec, cwd, first_free, users)?;
    end(script, spec)
}

/// What is attempted when a process joins a container; with `ESRCH` or `ENOMEM` there is none any more.
pub(super) const JOIN: &str = "join the container";

/// How every child begins that makes a root file system: as root, in a session of its own, with these streams.
pub(super) fn hand_over_streams(
    script: &mut Script,
    streams: &[Stream; 3],
    users: Users<'_>,
    namespaces: u64,
    pids: Option<BorrowedFd<'_>>,
) -> Result<()> {
    begin(script);
    script.plan.gate();
    if let Some(pids) = pids {
        script.step("join the processes of another container").hint = Some("that one has to run");
        script.plan.call(libc::SYS_setns, &[pids.as_raw_fd().into(), namespace::PID.into()]);
        script.plan.fork(namespaces);
        begin(script);
    }
    if let Users::Many(namespace) = users {
        script.step("join the user namespace of this user");
        script.plan.call(libc::SYS_setns, &[namespace.as_raw_fd().into(), namespace::USER.into()]);
        // The one that joins has no capabilities over the namespaces it was made with: a second child makes its own.
        fork_into(script, namespaces);
    }
    if let Users::Below { owner, network, uid, gid } = users {
        script.step("join the user namespace of the network");
        script.plan.call(libc::SYS_setns, &[owner.namespace.as_raw_fd().into(), namespace::USER.into()]);
        script.step("join a network namespace");
        script.plan.call(libc::SYS_setns, &[network.as_raw_fd().into(), namespace::NETWORK.into()]);
        // Nobody else may write the maps of what comes next, and nobody at all while it is invisible.
        script.plan.call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 1.into()]);
        fork_into(script, namespaces | namespace::USER);
        map_itself(script, [("gid_map", gid, owner.gid), ("uid_map", uid, owner.uid)])?;
    } else if !matches!(users, Users::One) {
        become_root(script);
    }
    script.step("begin a session");
    script.plan.call(libc::SYS_setsid, &[]);
    standard_streams(script, streams)
}

/// Writes the maps of this child's own user namespace: who it is in there, and who outside.
pub(super) fn map_itself(script: &mut Script, maps: [(&str, u32, u32); 2]) -> Result<()> {
    script.step("map the user of the container");
    let maps = maps.map(|(name, inside, outside)| (name, format!("{inside} {outside} 1")));
    for (name, text) in [("setgroups", "deny".to_owned())].into_iter().chain(maps) {
        let (path, length, text) = (script.text(format!("/proc/self/{name}"))?, text.len() as u64, script.text(text)?);
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        let file = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), path.into(), flags.into()]);
        script.plan.call(libc::SYS_write, &[file.into(), text.into(), length.into()]);
        script.close(file);
    }
    Ok(())
}

/// Goes on in a second child, which has these namespaces.
pub(super) fn fork_into(script: &mut Script, namespaces: u64) {
    script.step("create the namespaces of the container");
    script.plan.fork(namespaces);
    begin(script);
    script.plan.gate();
}

/// Becomes root where this child is.
pub(super) fn become_root(script: &mut Script) {
    script.step("become root");
    for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
        script.plan.call(call, &[0.into(), 0.into(), 0.into()]);
    }
}

/// Asks to be killed with the host program, and for exact modes.
pub(super) fn begin(script: &mut Script) {
    script.step("end with the host program");
    script.plan.call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG.into(), libc::SIGKILL.into()]);
    script.plan.call(libc::SYS_umask, &[0.into()]);
}

/// Puts the streams in place; all three descriptors are in use from here on, so that no other can take their numbers.
pub(super) fn standard_streams(script: &mut Script, streams: &[Stream; 3]) -> Result<()> {
    script.step("set up the standard streams");
    let (null, flags) = (script.text("/dev/null")?, libc::O_RDWR | libc::O_CLOEXEC);
    let null = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), null.into(), flags.into()]);
    for (number, stream) in (0_u32..).zip(streams) {
        let hold = |script: &mut Script| {
            // It is in place already when the host program had closed that number.
            script.attempt(libc::SYS_dup3, &[null.into(), number.into(), 0.into()], &[libc::EINVAL]);
        };
        match stream {
            Stream::Null => hold(script),
            Stream::Fd(fd) => {
                script.plan.call(libc::SYS_dup3, &[fd.as_raw_fd().into(), number.into(), 0.into()]);
            }
            Stream::Inherit => {
                let arguments = [number.into(), libc::F_SETFD.into(), 0.into()];
                let kept = script.attempt(libc::SYS_fcntl, &arguments, &[libc::EBADF]);
                hold(script);
                script.plan.on_success_go_on_here(kept);
            }
        }
    }
    script.plan.release(null);
    Ok(())
}

/// Replaces the host's `/dev/null`, whose mode a container's root could change.
pub(super) fn null_streams(script: &mut Script, streams: &[Stream; 3], null: Register) {
    for (number, stream) in (0_u32..).zip(streams) {
        if matches!(stream, Stream::Null) {
            script.plan.call(libc::SYS_dup3, &[null.into(), number.into(), 0.into()]);
        }
    }
    script.close(null);
}

pub(super) fn loopback(script: &mut Script) {
    script.step("bring up the loopback interface");
    let flags = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    let socket = script.get(libc::SYS_socket, &[libc::AF_INET.into(), flags.into(), 0.into()]);
    // struct ifreq: 16 bytes of name, then the flags.
    let request = script.plan.words(&[u64::from_ne_bytes(*b"lo\0\0\0\0\0\0"), 0, UP_AND_RUNNING, 0, 0]);
    script.plan.call(libc::SYS_ioctl, &[socket.into(), SIOCSIFFLAGS.into(), request.into()]);
    script.close(socket);
}

/// Closes the descriptors from this one on. Closed and not only marked: until the exec no name in `/proc` may lead to a
/// descriptor of the host program.
pub(super) fn close_from(script: &mut Script, first: u32) {
    script.step("close the descriptors of the host program");
    script.plan.call(libc::SYS_close_range, &[first.into(), u32::MAX.into(), 0.into()]);
}

/// Puts what the helper needs behind the standard streams; the first number after it.
pub(super) fn keep_for_helper(script: &mut Script, handover: Handover) -> u32 {
    script.step("keep the helper at hand");
    let kept = [(handover.socket, helper::SOCKET, 0), (handover.plan, helper::PLAN, 0)];
    for (from, to, flags) in kept.into_iter().chain([(handover.program, helper::EXECUTABLE, libc::O_CLOEXEC)]) {
        script.plan.call(libc::SYS_dup3, &[from.into(), to.into(), flags.into()]);
    }
    helper::FREE
}

/// From the working directory to the last restriction: the same for all.
pub(super) fn settle(
    script: &mut Script,
    spec: &ProcessSpec,
    cwd: Register,
    first_free: u32,
    users: Users<'_>,
) -> Result<()> {
    script.step(format!("change to the working directory {:?}", spec.cwd));
    script.plan.call(libc::SYS_fchdir, &[cwd.into()]);
    close_from(script, first_free);
    script.step(format!("find the working directory {:?} inside the container", spec.cwd));
    let path = script.plan.buffer(PATH_MAX);
    script.plan.call(libc::SYS_getcwd, &[path.into(), (PATH_MAX as u64).into()]);
    script.plan.expect(path, b'/', libc::ENOENT);
    script.step("reset signals");
    // Handlers are gone since the clone; what is ignored is still ignored.
    let default = script.plan.words(&[0; 4]);
    let caught = (1..=signal::REAL_TIME.1).filter(|number| ![libc::SIGKILL, libc::SIGSTOP].contains(number));
    for number in caught {
        let arguments = [number.into(), default.into(), 0.into(), SIGNAL_SET.into()];
        script.plan.call(libc::SYS_rt_sigaction, &arguments);
    }
    script.plan.call(libc::SYS_umask, &[spec.umask.into()]);
    security::restrict(script, spec, users)?;
    security::confine(script, spec)
}

/// Becomes the helper. Signals stay blocked: none that arrives before it has begun may be lost.
pub(super) fn become_helper(script: &mut Script, spec: &ProcessSpec) -> Result<()> {
    script.step("start the helper in the container");
    let argv: Vec<&str> = [INIT, "--"].into_iter().chain(spec.args.iter().map(String::as_str)).collect();
    let (argv, envp) = (strings(script, &argv)?, strings(script, &spec.env)?);
    let bare = (strings(script, &[INIT])?, strings::<&str>(script, &[])?);
    // What is too long for the kernel, the payload shall be told.
    for ((argv, envp), tolerated) in [((argv, envp), libc::E2BIG), (bare, 0)] {
        let (program, empty) = (helper::EXECUTABLE.into(), script.empty.into());
        let arguments = [program, empty, argv.into(), envp.into(), AT_EMPTY_PATH.into()];
        script.attempt(libc::SYS_execveat, &arguments, &[tolerated]);
    }
    Ok(())
}

/// The end of the helper's plan: the program. `found` is a register that nothing has been put into.
fn finish(mut script: Script, spec: &ProcessSpec, found: Register) -> Result<Prepared> {
    unblock_signals(&mut script);
    become_program(script, spec, found)
}

pub(super) fn unblock_signals(script: &mut Script) {
    script.step("unblock signals");
    let none = script.plan.words(&[0]);
    let arguments = [SET_MASK.into(), none.into(), 0.into(), SIGNAL_SET.into()];
    script.plan.call(libc::SYS_rt_sigprocmask, &arguments);
}

pub(super) fn become_program(mut script: Script, spec: &ProcessSpec, found: Register) -> Result<Prepared> {
    let search = execute(&mut script, spec, found)?;
    let (blob, steps) = script.seal()?;
    Ok(Prepared { blob, steps, search: Some(search) })
}

/// Moves a descriptor beyond the standard ones, which the child overwrites.
pub(super) fn beyond_standard(fd: OwnedFd) -> Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    rustix::io::fcntl_dupfd_cloexec(&fd, 3).attempt(|| "duplicate a standard stream")
}
