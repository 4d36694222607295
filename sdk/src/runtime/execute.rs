//! The execution of a program: where it is looked for, and what is found out where it cannot be executed.

use super::bundle::{DEFAULT_PATH, ProcessSpec};
use super::fault::{Fault, Search};
use super::script::Script;
use crate::error::Result;
use crate::sys::plan::{ANY, Offset, Register};

/// How much of a file that cannot be executed is looked at, in bytes.
const FILE_HEAD: usize = 4096;

pub(super) fn strings<T: AsRef<str>>(script: &mut Script, texts: &[T]) -> Result<Offset> {
    let offsets = texts.iter().map(|text| script.text(text.as_ref())).collect::<Result<Vec<_>>>()?;
    Ok(script.plan.pointers(&offsets))
}

/// Where a program is looked for.
fn candidates(spec: &ProcessSpec) -> Result<(&str, Vec<String>, Option<String>)> {
    let program = spec.args.first().filter(|program| !program.is_empty()).ok_or(Fault::NoCommand)?;
    if program.contains('/') {
        return Ok((program, vec![program.clone()], None));
    }
    let path = spec.variable("PATH").unwrap_or(DEFAULT_PATH);
    let below = |dir: &str| format!("{}/{program}", if dir.is_empty() { "." } else { dir });
    Ok((program, path.split(':').map(below).collect(), Some(path.to_owned())))
}

/// Fails if none of the candidates is there and may be executed, long before one of them is.
pub(super) fn look_for(script: &mut Script, spec: &ProcessSpec) -> Result<Search> {
    let (program, candidates, path) = candidates(spec)?;
    let (program, found) = (program.to_owned(), script.plan.register());
    let mut tries = Vec::new();
    for (number, candidate) in candidates.iter().enumerate() {
        script.step(format!("start {program:?}")).candidate = Some(number);
        let candidate = script.text(candidate)?;
        let arguments = [libc::AT_FDCWD.into(), candidate.into(), libc::X_OK.into()];
        let tried = script.attempt(libc::SYS_faccessat, &arguments, &[ANY]);
        script.plan.keep(tried, found);
        tries.push(tried);
    }
    script.plan.fail(Some(found));
    for tried in tries {
        script.plan.on_success_go_on_here(tried);
    }
    script.plan.release(found);
    // Nothing was looked at more closely.
    let nothing = script.plan.buffer(8);
    let (found_at, read_at, head) = (nothing, nothing, nothing);
    Ok(Search { program, path, candidates, found_at, read_at, head, head_size: 0 })
}

/// Tries each candidate, and looks at the file that could not be executed.
pub(super) fn execute(script: &mut Script, spec: &ProcessSpec, found: Register) -> Result<Search> {
    let (program, candidates, path) = candidates(spec)?;
    let argv = strings(script, &spec.args)?;
    let envp = strings(script, &spec.env)?;
    let mut tries = Vec::new();
    for (number, candidate) in candidates.iter().enumerate() {
        script.step(format!("start {program:?}")).candidate = Some(number);
        let candidate = script.text(candidate)?;
        tries.push(script.plan.exec(candidate, argv, envp, found));
    }
    for label in tries {
        script.plan.on_failure_go_on_here(label);
    }
    let (found_at, read_at, head) = (script.plan.buffer(8), script.plan.buffer(8), script.plan.buffer(FILE_HEAD));
    script.plan.store(found_at, found);
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = script.plan.register();
    let opened = script.attempt(libc::SYS_openat, &[libc::AT_FDCWD.into(), found.into(), flags.into()], &[ANY]);
    script.plan.keep(opened, file);
    let read = script.attempt(libc::SYS_read, &[file.into(), head.into(), (FILE_HEAD as u64).into()], &[ANY]);
    script.plan.keep(read, file);
    script.plan.store(read_at, file);
    script.plan.on_failure_go_on_here(opened);
    script.plan.fail(None);
    Ok(Search { program: program.to_owned(), path, candidates, found_at, read_at, head, head_size: FILE_HEAD })
}
