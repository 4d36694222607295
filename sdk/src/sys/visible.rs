//! Whether other processes may look into this one while a child shares its memory.
//!
//! The kernel keeps one *dumpable* flag per memory, so that of a child that shares ours is ours. A child that changes its
//! user clears it (commit_creds), and a child that has joined a container could be traced there while it is set, and our
//! memory read. So it is cleared on purpose while such a child exists, and put back when the last of them is gone. A
//! child in a new user namespace needs it set: its `/proc/<pid>/uid_map` would belong to root otherwise.

use std::sync::{Condvar, Mutex, PoisonError};

use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};

/// What a child needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// The flag stays as the program has it.
    Kept,
    /// Nobody but root may look.
    #[doc(alias = "PR_SET_DUMPABLE")]
    Hidden,
    /// The one child sets it as it needs it: there is no other beside it.
    Own,
}

struct State {
    children: u32,
    visibility: Visibility,
    saved: Option<DumpableBehavior>,
}

static STATE: Mutex<State> = Mutex::new(State { children: 0, visibility: Visibility::Kept, saved: None });
static CHANGED: Condvar = Condvar::new();

/// Keeps the flag as it was asked for.
#[must_use]
#[derive(Debug)]
pub(super) struct Held(());

/// Waits until no child needs the opposite, and sets the flag.
pub(super) fn hold(visibility: Visibility) -> Held {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    while state.children > 0 && (state.visibility != visibility || visibility == Visibility::Own) {
        state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    if state.children == 0 {
        state.visibility = visibility;
        state.saved = dumpable_behavior().ok();
        if visibility == Visibility::Hidden {
            // Cannot fail with this value.
            let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        }
    }
    state.children += 1;
    Held(())
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        state.children -= 1;
        // Not before the last one: until then it may still share our memory as another user.
        if state.children == 0 {
            if let Some(saved) = state.saved.take() {
                // The third value, readable by root only, cannot be set by a program: then it stays cleared.
                let _ = set_dumpable_behavior(saved);
            }
            CHANGED.notify_all();
        }
    }
}
