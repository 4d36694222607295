//! The checks of `layers!`, for a definition that was made by the builder.

use std::fmt;

use plywood_syntax::ast::{self, Body, Flag, FlagValue, Form, Named, Text, Transfer};
use plywood_syntax::checks::{self, Surroundings};
use plywood_syntax::finding::{Finding, Place, Severity};
use plywood_syntax::{dockerfile, duration};

use super::{Base, Command, Copy, CopySource, HealthCheck, Instruction, Layers, Run, RunMount};
use crate::error::{ErrorKind, Fault, Result};

impl Layers {
    /// Checks the definition by the rules of `layers!`: references, stages, variables, ports, paths and the like.
    ///
    /// Reads no file and asks no store; a build does this first.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument); the message lists all mistakes and where they were made.
    pub fn check(&self) -> Result<()> {
        let line = |place: Place| self.place(place.0 as usize).map(super::Place::line);
        let around = Surroundings { line: &line, files: None };
        let mut mistakes: Vec<Mistake> = self
            .misplaced
            .iter()
            .map(|misplaced| Mistake {
                at: misplaced.place.to_string(),
                message: format!("`{}` says something about a `from`, and none stands before it", misplaced.call),
                help: None,
            })
            .collect();
        if self.instructions.is_empty() {
            let finding = Finding::error("no_from", Place::default(), "no `FROM`: an image needs a base");
            mistakes.push(self.mistake(finding));
            return Err(Mistakes(mistakes).into());
        }
        let found = checks::check(&self.to_ast(), &around);
        let warns = |finding: &Finding| self.dockerfile.is_some() && dockerfile::only_warns(finding.name);
        let errors = found.into_iter().filter(|finding| finding.severity == Severity::Error && !warns(finding));
        mistakes.extend(errors.map(|finding| self.mistake(finding)));
        if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes).into()) }
    }

    fn mistake(&self, finding: Finding) -> Mistake {
        let index = finding.place.0 as usize;
        let keyword = self.instructions.get(index).map_or("", Instruction::keyword);
        let at = match self.place(index) {
            Some(place) => format!("{keyword} at {place}"),
            None => "the definition".to_owned(),
        };
        Mistake { at, message: finding.message, help: finding.help }
    }

    pub(super) fn to_ast(&self) -> Vec<ast::Instruction> {
        let places = (0..).map(Place);
        self.instructions
            .iter()
            .zip(places)
            .map(|(instruction, place)| Written(place).instruction(instruction))
            .collect()
    }
}

/// One mistake, in words.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) at: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)?;
        self.help.iter().try_for_each(|help| write!(f, " ({help})"))
    }
}

/// All mistakes of a definition.
#[derive(Debug)]
pub(super) struct Mistakes(pub(super) Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [one] => write!(f, "invalid image definition: {one}"),
            all => {
                write!(f, "invalid image definition, {} mistakes:", all.len())?;
                all.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

impl Fault for Mistakes {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }
}

/// Writes the tree of an instruction, all of it at the instruction's place.
struct Written(Place);

impl Written {
    fn text(&self, value: impl Into<String>) -> Text {
        Text::quoted(value, self.0)
    }

    fn texts(&self, values: &[String]) -> Vec<Text> {
        values.iter().map(|value| self.text(value)).collect()
    }

    fn pairs(&self, pairs: &[(String, String)]) -> Vec<(Text, Text)> {
        pairs.iter().map(|(key, value)| (self.text(key), self.text(value))).collect()
    }

    fn named(&self, values: &[String], form: Form) -> Vec<Named> {
        let text = |value: &String| Text { value: value.clone(), form, place: self.0 };
        values.iter().map(|value| Named { text: text(value), name: None }).collect()
    }

    fn base(&self, base: &Base) -> Text {
        let (value, form) = match base {
            Base::Scratch => ("scratch", Form::Bare),
            Base::Image(reference) => (reference.as_str(), Form::Quoted),
            Base::Stage(name) if name.parse::<usize>().is_ok() => (name.as_str(), Form::StageNumber),
            Base::Stage(name) => (name.as_str(), Form::Stage),
            Base::Host(_) | Base::Definition(_) => ("", Form::Expression),
        };
        Text { value: value.to_owned(), form, place: self.0 }
    }

    fn command(&self, command: &Command) -> ast::Command {
        match command {
            Command::Shell(script) => ast::Command::Shell(vec![self.text(script)]),
            Command::Exec(args) => ast::Command::Exec(self.texts(args)),
        }
    }

    fn flag(&self, name: &str, value: impl Into<String>) -> Flag {
        self.flag_text(name, self.text(value))
    }

    fn flag_text(&self, name: &str, text: Text) -> Flag {
        Flag { name: Text::bare(name, self.0), value: FlagValue::One(text) }
    }

    fn instruction(&self, instruction: &Instruction) -> ast::Instruction {
        let mut flags = Vec::new();
        let body = match instruction {
            Instruction::From(from) => {
                flags.extend(from.platform().map(|platform| self.flag("platform", platform)));
                let name = from.stage().map(|stage| self.text(stage));
                Body::From(Named { text: self.base(from.base()), name })
            }
            Instruction::Arg(arg) => {
                Body::Arg(vec![(self.text(arg.name()), arg.default().map(|default| self.text(default)))])
            }
            Instruction::Run(run) => {
                self.run_flags(run, &mut flags);
                Body::Run(self.command(run.as_command()))
            }
            Instruction::Copy(copy) => {
                self.copy_flags(copy, &mut flags);
                Body::Copy(self.transfer(copy))
            }
            Instruction::Add(add) => {
                self.copy_flags(add.as_copy(), &mut flags);
                flags.extend(add.expected_checksum().map(|checksum| self.flag("checksum", checksum)));
                Body::Add(self.transfer(add.as_copy()))
            }
            Instruction::Env(pairs) => Body::Env(self.pairs(pairs)),
            Instruction::Label(pairs) => Body::Label(self.pairs(pairs)),
            Instruction::Workdir(path) => Body::Workdir(self.text(path)),
            Instruction::User(user) => Body::User(self.text(user)),
            Instruction::Expose(ports) => Body::Expose(self.named(ports, Form::Number)),
            Instruction::Volume(paths) => Body::Volume(self.named(paths, Form::Quoted)),
            Instruction::Entrypoint(command) => Body::Entrypoint(self.command(command)),
            Instruction::Cmd(command) => Body::Cmd(self.command(command)),
            Instruction::Shell(words) => Body::Shell(self.texts(words)),
            Instruction::StopSignal(signal) => Body::StopSignal(self.text(signal)),
            Instruction::HealthCheck(check) => {
                self.health_flags(check, &mut flags);
                Body::HealthCheck(check.command().map(|command| self.command(command)))
            }
            Instruction::OnBuild(inner) => Body::OnBuild(Box::new(self.instruction(inner))),
        };
        ast::Instruction { place: self.0, flags, body }
    }

    fn run_flags(&self, run: &Run, flags: &mut Vec<Flag>) {
        for mount in run.mounts() {
            let value = FlagValue::Options(self.mount(mount));
            flags.push(Flag { name: Text::bare("mount", self.0), value });
        }
        flags.extend(run.network_mode().map(|network| self.flag("network", network)));
        flags.extend(run.security_mode().map(|security| self.flag("security", security)));
    }

    fn mount(&self, mount: &RunMount) -> Vec<(Text, Option<Text>)> {
        let kind = (Text::bare("type", self.0), Some(self.text(mount.kind().as_str())));
        let from = mount.base().map(|base| (Text::bare("from", self.0), Some(self.base(base))));
        let options = mount.options().map(|(key, value)| (Text::bare(key, self.0), Some(self.text(value))));
        [kind].into_iter().chain(from).chain(options).collect()
    }

    fn copy_flags(&self, copy: &Copy, flags: &mut Vec<Flag>) {
        flags.extend(copy.base().map(|base| self.flag_text("from", self.base(base))));
        flags.extend(copy.owner().map(|owner| self.flag("chown", owner)));
        flags.extend(copy.mode().map(|mode| self.flag("chmod", mode)));
        flags.extend(copy.excluded().iter().map(|pattern| self.flag("exclude", pattern)));
    }

    fn transfer(&self, copy: &Copy) -> Transfer {
        let mut transfer =
            Transfer { sources: Vec::new(), inline: Vec::new(), destination: self.text(copy.destination()) };
        for source in copy.sources() {
            match source {
                CopySource::Path(path) => transfer.sources.push(self.text(path)),
                CopySource::Inline { name, text, expands } => transfer.inline.push(ast::Inline {
                    text: self.text(text),
                    name: name.as_ref().map(|name| self.text(name)),
                    expands: *expands,
                }),
            }
        }
        transfer
    }

    fn health_flags(&self, check: &HealthCheck, flags: &mut Vec<Flag>) {
        let times = [
            ("interval", check.interval_time()),
            ("timeout", check.timeout_time()),
            ("start-period", check.start_period_time()),
            ("start-interval", check.start_interval_time()),
        ];
        let times = times.into_iter().filter_map(|(name, time)| Some((name, duration::format(time?))));
        flags.extend(times.map(|(name, time)| self.flag(name, time)));
        flags.extend(check.retry_count().map(|retries| self.flag("retries", retries.to_string())));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_right_definition_passes() {
        let layers = Layers::new()
            .arg("TAG", "12")
            .from("debian:$TAG")
            .stage("build")
            .env("DIR", "/srv")
            .workdir("$DIR")
            .copy("a", "./")
            .expose(80)
            .from(Base::host(["sh"]))
            .instruction(Copy::of("/srv/a").to("/a").from_stage("build"));
        layers.check().unwrap();
    }

    #[test]
    fn all_mistakes_are_listed_with_their_lines() {
        let first = line!() + 2;
        let layers = Layers::new()
            .from("Debian:12")
            .env("A", "$B")
            .expose("80800")
            .instruction(Copy::of("x").to("/x").from_stage("biuld"));
        let error = layers.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let expected = [
            "invalid image definition, 4 mistakes:".to_owned(),
            format!("  FROM at {}:{first}: image names are lower case: `debian:12` (debian:12)", file!()),
            format!("  ENV at {}:{}: `$B` is not defined here (", file!(), first + 1),
            format!("  EXPOSE at {}:{}: `80800` is not a port (ports run from 1 to 65535)", file!(), first + 2),
            format!("  COPY at {}:{}: no stage named `biuld` before this one (", file!(), first + 3),
        ];
        let text = error.to_string();
        for (line, expected) in text.lines().zip(&expected) {
            assert!(line.starts_with(expected.as_str()), "{line}\n{expected}");
        }
        assert_eq!(text.lines().count(), expected.len(), "{text}");
    }

    #[test]
    fn what_belongs_to_no_from_is_a_mistake() {
        assert!(Layers::new().check().is_err());
        let error = Layers::new().stage("a").from("debian").run("x").check().unwrap_err();
        assert!(error.to_string().contains("`stage` says something about a `from`"), "{error}");
    }
}
