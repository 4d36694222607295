#![allow(clippy::unwrap_used)]
use std::io::Read;
use std::process::{Command, Stdio};

use super::*;
use crate::sys::plan::Plan;

/// What a child writes that has come past its gates, when its parent is the process behind this descriptor.
fn written(parent: &OwnedFd, forks: bool) -> Vec<u8> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut plan = Plan::default();
    if forks {
        plan.gate();
        plan.fork(0);
    }
    let copied = plan.call(libc::SYS_dup, &[parent.as_raw_fd().into()]);
    plan.keep(copied, Plan::PARENT);
    plan.gate();
    let text = plan.bytes(b"on");
    plan.call(libc::SYS_write, &[writer.as_raw_fd().into(), text.into(), 2.into()]);
    let options = Options { namespaces: 0, forks, visibility: Visibility::Kept, cgroup: None, gate: Gate::Closed };
    let mut seen = Vec::new();
    let created = |pid, _: BorrowedFd<'_>| {
        seen.push(pid);
        Ok(())
    };
    let child = spawn(&mut plan.seal().unwrap(), options, |_, _| Ok(()), created).unwrap();
    assert_eq!(seen, [child.pid]);
    drop(writer);
    reap(Some(child));
    let mut text = Vec::new();
    reader.read_to_end(&mut text).unwrap();
    text
}

#[test]
fn a_child_whose_parent_is_dead_goes_no_further_than_the_gate() {
    let alive = wait::open(std::process::id()).unwrap();
    let mut other = Command::new("sh").arg("-c").arg("read x").stdin(Stdio::piped()).spawn().unwrap();
    let dead = wait::open(other.id()).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    for forks in [false, true] {
        assert_eq!(written(&alive, forks), b"on");
        assert_eq!(written(&dead, forks), b"");
    }
}

#[test]
fn a_child_that_is_refused_is_not_left_behind() {
    for forks in [false, true] {
        let mut plan = Plan::default();
        plan.gate();
        if forks {
            plan.fork(0);
            plan.gate();
        }
        let options = Options { namespaces: 0, forks, visibility: Visibility::Kept, cgroup: None, gate: Gate::Closed };
        let mut child = None;
        let created = |pid, _: BorrowedFd<'_>| {
            child = Some(pid);
            Err(io::ErrorKind::Other.into())
        };
        let failure = spawn(&mut plan.seal().unwrap(), options, |_, _| Ok(()), created).unwrap_err();
        assert!(matches!(failure, Failure::Prepare(_)), "{failure:?}");
        assert!(!std::path::Path::new(&format!("/proc/{}", child.unwrap())).exists());
    }
}
