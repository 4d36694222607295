//! What stays for whoever looks for what went wrong: the environment says so.

use std::env;
use std::ffi::OsStr;

/// With `1` there, guards leave their containers in the store.
const KEEP: &str = "PLYWOOD_KEEP";

/// What is done with what a test or a step of a build that failed leaves.
pub(crate) const ON_FAIL: &str = "PLYWOOD_ON_FAIL";

/// Whether guards leave their containers in the store.
pub(crate) fn guards_keep() -> bool {
    is(KEEP, "1")
}

/// Whether what failed stays.
pub(crate) fn failures_stay() -> bool {
    is(ON_FAIL, "keep")
}

/// Whether everything is told of what failed.
pub(crate) fn failures_are_told() -> bool {
    is(ON_FAIL, "dump")
}

fn is(variable: &str, value: &str) -> bool {
    env::var_os(variable).as_deref() == Some(OsStr::new(value))
}
