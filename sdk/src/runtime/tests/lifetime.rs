//! From start to end: programs, output, signals, exec.

use super::support::*;
#[test]
fn a_container_runs_and_reports_its_exit_code() {
    require_containers!();
    let container = Tree::new();
    let done = container.shell("echo out; echo err >&2; exit 7");
    assert_eq!(done.status.code(), 7, "{done:?}");
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
}
