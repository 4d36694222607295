//! A plan with words: what each of its steps attempts, for the error that names it.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::sys::clone::Failure;
use crate::sys::mount::{
    AT_EMPTY_PATH, FSCONFIG_CMD_CREATE, FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC,
    MOUNT_ATTR, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH, OPEN_HOW, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE,
    RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, mount_attr, open_how,
};
use crate::sys::plan::{ANY, Argument, Blob, Label, Offset, Plan, Register};
use crate::sys::probe::{self, Privilege};

/// What an error says about a step.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Such as `mount /proc`.
    pub attempt: Cow<'static, str>,
    /// What the user can do.
    pub hint: Option<&'static str>,
    /// Where the kernel explains the failure in words.
    pub explanation: Option<Offset>,
    /// The program whose execution it is: an index into the candidates.
    pub candidate: Option<usize>,
}

/// How much of an explanation is read, in bytes.
const EXPLANATION: usize = 512;

/// A plan being written, with its steps.
#[derive(Debug)]
pub(super) struct Script {
    pub plan: Plan,
    steps: Vec<Step>,
    /// The empty string, for calls that mean a descriptor itself.
    pub empty: Offset,
    follow: Offset,
    directory: Offset,
    real_directory: Offset,
    real: Offset,
    create_file: Offset,
}

/// How a path inside a root directory is opened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lookup {
    /// Links are followed inside the root.
    Follow,
    /// The same, and it must be a directory.
    Directory,
    /// Links are refused.
    Real,
    /// Links are refused, and it must be a directory.
    RealDirectory,
}

impl Script {
    pub(super) fn new() -> Self {
        let mut plan = Plan::default();
        let inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
        let strict = inside | RESOLVE_NO_SYMLINKS;
        let create = libc::O_CREAT | libc::O_WRONLY | libc::O_NOCTTY | libc::O_NONBLOCK;
        Self {
            // A C string without bytes; `string` fails for a NUL only.
            empty: plan.bytes(b"\0"),
            follow: plan.words(&open_how(libc::O_PATH, 0, inside)),
            directory: plan.words(&open_how(libc::O_PATH | libc::O_DIRECTORY, 0, inside)),
            real: plan.words(&open_how(libc::O_PATH | libc::O_NOFOLLOW, 0, strict)),
            real_directory: plan.words(&open_how(libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY, 0, strict)),
            create_file: plan.words(&open_how(create, 0o644, inside)),
            plan,
            steps: Vec::new(),
        }
    }

    /// Begins a step.
    pub(super) fn step(&mut self, attempt: impl Into<Cow<'static, str>>) -> &mut Step {
        self.plan.step(self.steps.len() as u16);
        self.steps.push(Step { attempt: attempt.into(), ..Step::default() });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// Adds a text; an error names it if it holds a NUL.
    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) -> Result<Offset> {
        let text = text.as_ref();
        self.plan.string(text).map_err(|_| {
            let text = String::from_utf8_lossy(text);
            Error::new(crate::ErrorKind::InvalidArgument, format!("start a process: {text:?} holds a NUL"))
        })
    }

    /// Adds a path of the host.
    pub(super) fn path(&mut self, path: &Path) -> Result<Offset> {
        self.plan.path(path).attempt(|| format!("use path {path:?}"))
    }

    /// Adds a call whose result is kept.
    pub(super) fn get(&mut self, number: libc::c_long, arguments: &[Argument]) -> Register {
        let register = self.plan.register();
        let label = self.plan.call(number, arguments);
        self.plan.keep(label, register);
        register
    }

    /// Adds a call that may fail with these errors.
    pub(super) fn attempt(&mut self, number: libc::c_long, arguments: &[Argument], errnos: &[i32]) -> Label {
        let label = self.plan.call(number, arguments);
        self.plan.tolerate(label, errnos);
        label
    }

    pub(super) fn close(&mut self, register: Register) {
        self.plan.call(libc::SYS_close, &[register.into()]);
        self.plan.release(register);
    }

    /// Makes a file system with these options, attached nowhere yet.
    pub(super) fn file_system(&mut self, kind: &str, options: &[(&str, &str)], attributes: u64) -> Result<Register> {
        let context = self.open_file_system(kind)?;
        for (key, value) in options {
            self.set_option(context, key, value)?;
        }
        self.create_file_system(context);
        Ok(self.mount_file_system(context, attributes))
    }

    pub(super) fn open_file_system(&mut self, kind: &str) -> Result<Register> {
        let kind = self.text(kind)?;
        Ok(self.get(libc::SYS_fsopen, &[kind.into(), FSOPEN_CLOEXEC.into()]))
    }

    /// Sets an option of a file system; without a value, a flag.
    pub(super) fn set_option(&mut self, context: Register, key: &str, value: &str) -> Result<Label> {
        let key = self.text(key)?;
        let (command, value) = match value {
            "" => (FSCONFIG_SET_FLAG, Argument::from(0)),
            value => (FSCONFIG_SET_STRING, self.text(value)?.into()),
        };
        Ok(self.plan.call(libc::SYS_fsconfig, &[context.into(), command.into(), key.into(), value, 0.into()]))
    }

    /// Creates the file system; on failure the kernel's own words are kept.
    pub(super) fn create_file_system(&mut self, context: Register) {
        let error = self.plan.register();
        let explanation = self.plan.buffer(EXPLANATION);
        let create = [context.into(), FSCONFIG_CMD_CREATE.into(), 0.into(), 0.into(), 0.into()];
        let created = self.attempt(libc::SYS_fsconfig, &create, &[ANY]);
        self.plan.keep(created, error);
        let read = [context.into(), explanation.into(), (EXPLANATION as u64 - 1).into()];
        self.attempt(libc::SYS_read, &read, &[ANY]);
        self.plan.fail(Some(error));
        self.plan.on_success_go_on_here(created);
        self.plan.release(error);
        if let Some(step) = self.steps.last_mut() {
            step.explanation = Some(explanation);
        }
    }

    pub(super) fn mount_file_system(&mut self, context: Register, attributes: u64) -> Register {
        let mount = self.get(libc::SYS_fsmount, &[context.into(), FSMOUNT_CLOEXEC.into(), attributes.into()]);
        self.close(context);
        mount
    }

    /// A detached copy of what is at a path, relative to a descriptor or to the working directory.
    pub(super) fn copy_tree(&mut self, at: impl Into<Argument>, path: Offset, flags: u32) -> Register {
        let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags;
        self.get(libc::SYS_open_tree, &[at.into(), path.into(), flags.into()])
    }

    /// Adds attributes to a mount, and with `AT_RECURSIVE` to those below it.
    pub(super) fn set_attributes(&mut self, mount: Register, attributes: u64, flags: u32) {
        let attr = self.plan.words(&mount_attr(attributes));
        let flags = AT_EMPTY_PATH | flags;
        let arguments = [mount.into(), self.empty.into(), flags.into(), attr.into(), MOUNT_ATTR.into()];
        self.plan.call(libc::SYS_mount_setattr, &arguments);
    }

    /// Sets and clears attributes of a mount, its propagation (`MS_SHARED` and the like, or 0) and, by the number of a
    /// descriptor, the user namespace that its ids are mapped by.
    pub(super) fn change_mount(
        &mut self,
        mount: Register,
        [set, clear]: [u64; 2],
        propagation: u64,
        ids: u64,
        flags: u32,
    ) {
        let attr = self.plan.words(&[set, clear, propagation, ids]);
        let flags = AT_EMPTY_PATH | flags;
        let arguments = [mount.into(), self.empty.into(), flags.into(), attr.into(), MOUNT_ATTR.into()];
        self.plan.call(libc::SYS_mount_setattr, &arguments);
    }

    /// Attaches a mount at an open directory or file.
    pub(super) fn attach(&mut self, mount: impl Into<Argument>, target: Register) {
        let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
        let empty = self.empty;
        let arguments = [mount.into(), empty.into(), target.into(), empty.into(), flags.into()];
        self.plan.call(libc::SYS_move_mount, &arguments);
    }

    /// Opens a path inside a root directory.
    pub(super) fn look_up(&mut self, root: Register, path: &str, lookup: Lookup) -> Result<(Label, Register)> {
        let how = match lookup {
            Lookup::Follow => self.follow,
            Lookup::Directory => self.directory,
            Lookup::Real => self.real,
            Lookup::RealDirectory => self.real_directory,
        };
        let path = self.text(if path.is_empty() { "." } else { path })?;
        let register = self.plan.register();
        let label = self.plan.call(libc::SYS_openat2, &[root.into(), path.into(), how.into(), OPEN_HOW.into()]);
        self.plan.keep(label, register);
        Ok((label, register))
    }

    /// Opens a path that the caller describes inside a root directory.
    pub(super) fn open_in(&mut self, root: Register, path: &str, how: [u64; 3]) -> Result<Register> {
        let path = self.text(path)?;
        let how = self.plan.words(&how);
        Ok(self.get(libc::SYS_openat2, &[root.into(), path.into(), how.into(), OPEN_HOW.into()]))
    }

    /// Opens a directory inside a root directory; makes it, and those above it, if it is missing.
    ///
    /// Each name is created relative to the open directory above it, so that no link can lead the creation astray.
    pub(super) fn make_directory(&mut self, root: Register, path: &str) -> Result<Register> {
        let (found, target) = self.look_up(root, path, Lookup::Directory)?;
        self.plan.tolerate(found, &[libc::ENOENT]);
        self.make_parents(root, path, |script, above, name| {
            let arguments = [above.into(), name.into(), 0o755.into()];
            script.attempt(libc::SYS_mkdirat, &arguments, &[libc::EEXIST]);
            Ok(())
        })?;
        let (again, register) = self.look_up(root, path, Lookup::Directory)?;
        self.plan.keep(again, target);
        self.plan.release(register);
        self.plan.on_success_go_on_here(found);
        Ok(target)
    }

    /// The same for a file, whose directories are made too.
    pub(super) fn make_file(&mut self, root: Register, path: &str) -> Result<Register> {
        let (found, target) = self.look_up(root, path, Lookup::Follow)?;
        self.plan.tolerate(found, &[libc::ENOENT]);
        self.make_parents(root, path, |_, _, _| Ok(()))?;
        // Not relative to the directory above: a link that leads nowhere shall lead to a new file, inside the root.
        let (whole, how) = (self.text(path)?, self.create_file);
        let file = self.get(libc::SYS_openat2, &[root.into(), whole.into(), how.into(), OPEN_HOW.into()]);
        self.close(file);
        let (again, register) = self.look_up(root, path, Lookup::Follow)?;
        self.plan.keep(again, target);
        self.plan.release(register);
        self.plan.on_success_go_on_here(found);
        Ok(target)
    }

    /// Makes the directories above the last name, and calls `last` with the one that holds it.
    fn make_parents(
        &mut self,
        root: Register,
        path: &str,
        last: impl FnOnce(&mut Self, Register, Offset) -> Result<()>,
    ) -> Result<()> {
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut above = root;
        let mut end = 0;
        for name in parents.split('/').filter(|name| !name.is_empty()) {
            end += name.len() + usize::from(end > 0);
            let prefix = &parents[..end];
            let (found, directory) = self.look_up(root, prefix, Lookup::Directory)?;
            self.plan.tolerate(found, &[libc::ENOENT]);
            let name = self.text(name)?;
            self.attempt(libc::SYS_mkdirat, &[above.into(), name.into(), 0o755.into()], &[libc::EEXIST]);
            let (again, register) = self.look_up(root, prefix, Lookup::Directory)?;
            self.plan.keep(again, directory);
            self.plan.release(register);
            self.plan.on_success_go_on_here(found);
            if above != root {
                self.close(above);
            }
            above = directory;
        }
        let name = self.text(name)?;
        last(self, above, name)?;
        if above != root {
            self.close(above);
        }
        Ok(())
    }

    /// The blob and the words for it.
    pub(super) fn seal(self) -> Result<(Blob, Steps)> {
        let blob = self.plan.seal().attempt(|| "prepare a process (too many mounts, arguments or variables)")?;
        Ok((blob, Steps(self.steps)))
    }
}

/// What the steps of a sealed plan attempt.
#[derive(Debug)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    /// The candidate whose execution a step is.
    pub(super) fn candidate(&self, step: u16) -> Option<usize> {
        self.0.get(usize::from(step))?.candidate
    }

    /// What the steps attempt, in their order.
    pub(super) fn attempts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|step| step.attempt.as_ref())
    }

    /// Whether a step attempts this.
    pub(super) fn is(&self, step: u16, attempt: &str) -> bool {
        self.0.get(usize::from(step)).is_some_and(|step| step.attempt == attempt)
    }

    /// The error of a child that failed at a step that is no execution.
    pub(super) fn error(&self, blob: &Blob, failure: Failure) -> Error {
        let (step, errno) = match failure {
            Failure::Clone(error) => return clone_error(error),
            Failure::Prepare(error) => {
                let is_refused = error.kind() == std::io::ErrorKind::PermissionDenied;
                let error = Error::os("map the user of the container", error);
                return match is_refused {
                    true => error.with_hint("a program that is not dumpable, such as one with file capabilities, cannot prepare user namespaces"),
                    false => error,
                };
            }
            Failure::Killed => {
                return Error::new(crate::ErrorKind::Failed, "start a process: it was killed before it could begin");
            }
            Failure::Step { step, errno } => (step, errno),
        };
        let cause = io::Error::from_raw_os_error(errno);
        let Some(step) = self.0.get(usize::from(step)) else { return Error::os("start a process", cause) };
        let mut error = Error::os(&step.attempt, cause);
        match lacking(errno) {
            Some(hint) => error = error.with_hint(hint),
            None => error = step.hint.into_iter().fold(error, |error, hint| error.with_hint(hint)),
        }
        if let Some(words) = step.explanation.and_then(|at| explanation(&blob.read(at, EXPLANATION))) {
            error = error.with_source(words);
        }
        error
    }
}

/// What a root of less than all capabilities does about a refusal: the kernel does not say which one it was.
fn lacking(errno: i32) -> Option<String> {
    let list = match (errno, probe::privilege()) {
        (libc::EPERM | libc::EACCES, Privilege::Root) => probe::lacking_capabilities(),
        _ => return None,
    };
    // Without it only limits fail, which say so.
    let list: Vec<_> = list.into_iter().filter(|name| *name != "SYS_RESOURCE").map(|it| format!("CAP_{it}")).collect();
    (!list.is_empty()).then(|| format!("this root lacks {}: start the program with them", list.join(", ")))
}

/// The kernel's words: `e overlay: ...`, one per line.
fn explanation(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next()?);
    let lines: Vec<&str> = text.lines().filter_map(|line| line.get(2..)).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

fn clone_error(error: io::Error) -> Error {
    let attempt = "create the process of a container";
    let refuse = |kind, why: &str| Error::new(kind, format_args!("{attempt}: {why}"));
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            refuse(ErrorKind::PermissionDenied, "this user may not create user namespaces").with_hint(
                "run as root, or allow them: kernel.unprivileged_userns_clone, user.max_user_namespaces, AppArmor",
            )
        }
        // clone(2) says "no space left on device" and means the namespaces.
        Some(libc::ENOSPC | libc::EUSERS) => {
            refuse(ErrorKind::Unsupported, "user namespaces are disabled on this host, or all it allows are in use")
                .with_hint("raise user.max_user_namespaces and its siblings, or run as root")
        }
        Some(libc::EAGAIN) => Error::os(attempt, error).with_hint("raise the limit of processes (ulimit -u, pids.max)"),
        Some(libc::ENOSYS | libc::EINVAL) => Error::os(attempt, error)
            .with_hint("plywood needs Linux 5.7 or later with namespaces, and no filter on clone3"),
        _ => Error::os(attempt, error),
    }
}
