//! Hooks: programs of whoever made the bundle, at points of a container's life.
//!
//! Each is given the state of the container on standard input, and ends before anything else goes on. Those that belong
//! into the container join its namespaces.

use std::io::{Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::config::Hook;
use super::fault::Fault;
use crate::error::{Attempt, Error, Result};
use crate::runtime::execute::strings;
use crate::runtime::plan::{FIRST_FREE, Stream, begin, beyond_standard, close_from, standard_streams, unblock_signals};
use crate::runtime::script::Script;
use crate::sys::clone::{self, Gate, Options};
use crate::sys::plan::Register;
use crate::sys::visible::Visibility;
use crate::sys::wait::{self, End};
use crate::sys::{background, namespace, signal};

/// Where a hook runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// Beside the runtime, in the directory of the bundle.
    Runtime(&'a Path),
    /// In the namespaces of this process.
    Container(u32),
}

/// Runs hooks one after the other.
///
/// # Errors
/// The first that cannot be run, fails or takes longer than it may; the others are left out.
pub(super) fn run(stage: &'static str, hooks: &[Hook], state: &str, place: Place<'_>) -> Result<()> {
    hooks.iter().try_for_each(|hook| one(stage, hook, state, place))
}

fn one(stage: &'static str, hook: &Hook, state: &str, place: Place<'_>) -> Result<()> {
    let fault = |why: String| Error::from(Fault::Hook { stage, path: hook.path.clone(), why });
    if !hook.path.starts_with('/') {
        return Err(fault("its path must be absolute".to_owned()));
    }
    let attempt = || format!("run the {stage} hook {:?}", hook.path);
    let mut input = background::memory("state", state.as_bytes()).attempt(attempt)?;
    input.seek(SeekFrom::Start(0)).attempt(attempt)?;
    let streams = [Stream::Fd(beyond_standard(OwnedFd::from(input))?), Stream::Inherit, Stream::Inherit];
    let mut script = Script::new();
    let found = script.plan.register();
    begin(&mut script);
    standard_streams(&mut script, &streams)?;
    // Kept until the child has its copy.
    let mut target = None;
    let directory = match place {
        Place::Runtime(bundle) => script.path(bundle)?,
        Place::Container(pid) => {
            let pidfd = wait::open(pid).attempt(attempt)?;
            let namespaces = namespace::foreign(pid).attempt(attempt)?;
            script.step("join the container");
            script.plan.call(libc::SYS_setns, &[pidfd.as_raw_fd().into(), namespaces.into()]);
            target = Some(pidfd);
            script.text("/")?
        }
    };
    // A pid namespace holds the children of the one that joins it.
    script.plan.fork(0);
    begin(&mut script);
    script.step(attempt());
    script.plan.call(libc::SYS_chdir, &[directory.into()]);
    close_from(&mut script, FIRST_FREE);
    execute(&mut script, hook, found, attempt())?;
    let (mut blob, steps) = script.seal()?;
    let options =
        Options { namespaces: 0, forks: true, visibility: Visibility::Hidden, cgroup: None, gate: Gate::Open };
    let child = clone::spawn(&mut blob, options, |_, _| Ok(()), |_, _| Ok(()));
    let child = child.map_err(|failure| steps.error(&blob, failure))?;
    drop(target);
    if let Some(seconds) = hook.timeout {
        let limit = Timespec::try_from(Duration::from_secs(seconds)).ok();
        let mut events = [PollFd::new(&child.pidfd, PollFlags::IN)];
        if poll(&mut events, limit.as_ref()).is_ok_and(|ready| ready == 0) {
            let _ = signal::send(&child.pidfd, libc::SIGKILL);
            let _ = wait::reap(&child.pidfd);
            return Err(fault(format!("it took longer than {seconds} s")));
        }
    }
    match wait::reap(&child.pidfd).attempt(attempt)? {
        End::Exited(0) => Ok(()),
        End::Exited(code) => Err(fault(format!("it exited with code {code}"))),
        End::Signaled(signal) => Err(fault(format!("signal {signal} ended it"))),
        End::Unknown => Err(fault("nobody knows how it ended".to_owned())),
    }
}

fn execute(script: &mut Script, hook: &Hook, found: Register, attempt: String) -> Result<()> {
    let args = if hook.args.is_empty() { std::slice::from_ref(&hook.path) } else { &hook.args };
    let (path, argv, envp) = (script.text(&hook.path)?, strings(script, args)?, strings(script, &hook.env)?);
    unblock_signals(script);
    script.step(attempt);
    script.plan.exec(path, argv, envp, found);
    script.plan.fail(None);
    Ok(())
}
