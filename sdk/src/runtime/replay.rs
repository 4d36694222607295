//! What a further start of a kept container takes: its plan, and what that knows by a number.
//!
//! `sdk/helper/restart.rs` walks the plan again. Nothing of it changes from one start to the next but the line to the
//! init and the terminal, which the supervisor makes anew.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use super::bundle::Bundle;
use super::plan::{Prepared, Stream};
use super::users::Users;
use crate::error::{Attempt, Result};
use crate::sys::clone;
use crate::sys::helper::{Handover, plan_file};

/// What is attempted when it is put together.
const PREPARE: &str = "prepare the restart of a container";

/// The longest description of a step, in characters.
const LONGEST: usize = 200;

#[derive(Debug)]
pub(super) struct Replay {
    pub plan: File,
    pub payload: File,
    /// What the steps of both attempt, as it stands in a JSON string.
    pub steps: [Vec<String>; 2],
    /// The container's ends of its streams.
    pub streams: [Option<OwnedFd>; 3],
    /// The numbers that the plan knows these by: streams, user namespace, line, plan of the payload, helper.
    pub numbers: [u64; 7],
    /// Namespaces that the child is started with.
    pub namespaces: u64,
    /// `gid_map` and `uid_map` of a user namespace with one id.
    pub maps: Option<[String; 2]>,
    pub oom_score: Option<i32>,
}

/// The number of what a plan does not use.
const NOWHERE: u64 = u64::MAX;

impl Replay {
    /// Before the plan is walked, which the answer is written to.
    pub(super) fn new(
        bundle: &Bundle,
        [start, payload]: [&Prepared; 2],
        streams: &[Stream; 3],
        users: Users<'_>,
        namespaces: u64,
        handover: Handover,
    ) -> Result<Self> {
        let number = |fd: i32| u64::try_from(fd).unwrap_or(NOWHERE);
        let stream = |stream: &Stream| match stream {
            Stream::Fd(fd) => number(fd.as_raw_fd()),
            Stream::Null | Stream::Inherit => NOWHERE,
        };
        let [stdin, stdout, stderr] = [0, 1, 2].map(|at: usize| streams.get(at).map_or(NOWHERE, stream));
        let (namespace, maps) = match users {
            Users::Many(namespace) => (number(namespace.as_raw_fd()), None),
            Users::Shifted(namespace) => (number(namespace.fd.as_raw_fd()), None),
            Users::One => (NOWHERE, Some(clone::single_maps(bundle.process.user.uid, bundle.process.user.gid))),
            Users::Host | Users::Below { .. } | Users::Joined => (NOWHERE, None),
        };
        let [line, plan, program] = [handover.socket, handover.plan, handover.program].map(number);
        let steps = [start, payload].map(|prepared| prepared.steps.attempts().map(in_json).collect());
        Ok(Self {
            plan: plan_file(&start.blob).attempt(|| PREPARE)?,
            payload: plan_file(&payload.blob).attempt(|| PREPARE)?,
            steps,
            streams: [None, None, None],
            numbers: [stdin, stdout, stderr, namespace, line, plan, program],
            namespaces,
            maps,
            oom_score: bundle.process.oom_score_adj,
        })
    }

    /// Takes the container's ends of its streams, which the plan has been walked with.
    pub(super) fn take(&mut self, streams: [Stream; 3]) {
        self.streams = streams.map(|stream| match stream {
            Stream::Fd(fd) => Some(fd),
            Stream::Null | Stream::Inherit => None,
        });
    }
}

/// A text as it stands between the quotes of a JSON string.
pub(super) fn in_json(text: &str) -> String {
    let text: String = text.chars().filter(|char| *char != '\0').take(LONGEST).collect();
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_in_a_json_string() {
        for text in ["mount /proc", "start \"a\\b\"", "\"", "ä\n\u{1}"] {
            let json = format!("\"{}\"", in_json(text));
            assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(text), "{json}");
        }
    }
}
