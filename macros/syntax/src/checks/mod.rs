//! The checks of a definition: each rule once, for macro, Dockerfile and builder.
//!
//! [`check`] walks a definition stage by stage and reports everything it finds, not only the first mistake.

mod arguments;
mod command;
mod files;
mod flags;
mod names;
mod scripts;
mod shells;
mod stage;
mod transfer;
mod variables;
mod volumes;
mod warnings;

#[cfg(test)]
mod tests;

use crate::ast::{self, Body, Instruction, Named, Origin, Text};
use crate::finding::{Finding, Place, Problem, Severity};

pub use command::mount_key;
pub use files::{FileKind, Files};
pub use names::{CHECKS, OFF, unknown_check};

/// What a check may ask about the world around a definition.
pub struct Surroundings<'a> {
    /// The line a place is on, where there are lines.
    pub line: &'a dyn Fn(Place) -> Option<usize>,
    /// The build context, where it is at hand.
    pub files: Option<&'a dyn Files>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

impl Surroundings<'_> {
    /// Nothing is known.
    pub const NONE: Surroundings<'static> = Surroundings { line: &|_| None, files: None };
}

/// Checks a definition and reports all findings, in the order of their places.
pub fn check(instructions: &[Instruction], around: &Surroundings<'_>) -> Vec<Finding> {
    let mut checker = Checker { instructions, around, findings: Vec::new(), shell: shells::Shell::Posix };
    checker.structure();
    let mut shells = shells::Shells::default();
    for instruction in instructions {
        checker.shell = shells.at(instruction);
        checker.flags(instruction);
        checker.instruction(instruction, false);
        checker.warnings(instruction);
    }
    checker.stages();
    checker.names();
    checker.variables();
    checker.unused_arguments();
    checker.volumes();
    checker.stage_warnings();
    let mut findings = checker.findings;
    in_order(&mut findings);
    findings
}

/// Sorts findings by their places.
pub fn in_order(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| (finding.place, finding.range.as_ref().map(|range| range.start)));
}

/// Checks one instruction without those around it, and reports its mistakes.
pub fn check_alone(instruction: &Instruction) -> Vec<Finding> {
    let instructions = std::slice::from_ref(instruction);
    let around = &Surroundings::NONE;
    let mut checker = Checker { instructions, around, findings: Vec::new(), shell: shells::Shell::Posix };
    checker.flags(instruction);
    checker.instruction(instruction, false);
    checker.findings.retain(|finding| finding.severity == Severity::Error);
    checker.findings
}

struct Checker<'a> {
    instructions: &'a [Instruction],
    around: &'a Surroundings<'a>,
    findings: Vec<Finding>,
    /// What the shell form runs under.
    shell: shells::Shell,
}

impl<'a> Checker<'a> {
    fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn problem(&mut self, problem: Problem, text: &Text) {
        self.report(Finding::of(problem, text.place));
    }

    /// ` on line 14`, or nothing where lines are not known.
    fn on_line(&self, place: Place) -> String {
        (self.around.line)(place).map_or_else(String::new, |line| format!(" on line {line}"))
    }

    fn stage_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        ast::stages(self.instructions).map(|name| name.value.as_str())
    }

    fn origin(&self, base: &Text) -> Origin {
        ast::origin(base, self.stage_names())
    }

    /// What comes first, and whether there is a base at all.
    fn structure(&mut self) {
        let is_from = |instruction: &&Instruction| matches!(instruction.body, Body::From(_));
        if self.instructions.iter().find(is_from).is_none() {
            let place = self.instructions.last().map_or(Place::default(), |last| last.place);
            self.report(
                Finding::error("no_from", place, "no `FROM`: an image needs a base")
                    .help("FROM \"debian:12\"; or FROM scratch;"),
            );
            return;
        }
        for instruction in self.instructions.iter().take_while(|instruction| !is_from(instruction)) {
            if !matches!(instruction.body, Body::Arg(_)) {
                let message = format!("`{}` before `FROM`: there is no image yet to change", instruction.keyword());
                self.report(
                    Finding::error("before_from", instruction.place, message)
                        .help("begin with `FROM \"debian:12\";` (only `ARG` may come first)"),
                );
            }
        }
    }

    /// What can be said about one instruction without its neighbours.
    fn instruction(&mut self, instruction: &'a Instruction, on_build: bool) {
        match &instruction.body {
            Body::From(Named { text, .. }) => self.from(instruction, text),
            Body::Arg(pairs) => pairs.iter().for_each(|(name, _)| self.variable_name(name)),
            Body::Env(pairs) => {
                pairs.iter().for_each(|(name, _)| self.variable_name(name));
                self.repeated_keys(pairs, "ENV");
            }
            Body::Label(pairs) => {
                pairs.iter().for_each(|(key, _)| self.label_key(key));
                self.repeated_keys(pairs, "LABEL");
            }
            Body::Run(command) => self.run(instruction, command),
            Body::Copy(transfer) | Body::Add(transfer) => self.transfer(instruction, transfer, on_build),
            Body::Workdir(path) => self.tilde(path),
            Body::User(user) => self.user(user),
            Body::Expose(ports) => ports.iter().for_each(|port| self.port(&port.text)),
            Body::Volume(paths) => paths.iter().for_each(|path| self.volume(&path.text)),
            Body::Cmd(command) => self.command(command),
            Body::Entrypoint(command) => self.entrypoint(instruction, command),
            Body::HealthCheck(command) => self.health_check(instruction, command.as_ref()),
            Body::StopSignal(signal) => self.signal(signal),
            Body::Shell(words) => {
                if words.is_empty() {
                    self.report(
                        Finding::error("shell_array", instruction.place, "`SHELL` takes an array")
                            .help("SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"];"),
                    );
                }
            }
            Body::OnBuild(inner) => {
                if matches!(inner.body, Body::From(_) | Body::OnBuild(_)) {
                    let message = format!("`ONBUILD {}` cannot be", inner.keyword());
                    self.report(Finding::error("bad_onbuild", inner.place, message));
                } else if matches!(&inner.body, Body::Arg(names) if names.len() > 1) {
                    self.report(
                        Finding::error("bad_onbuild", inner.place, "`ONBUILD ARG` takes one name")
                            .help("use one `ONBUILD ARG` for each"),
                    );
                } else {
                    self.flags(inner);
                    self.instruction(inner, true);
                }
            }
        }
    }
}
