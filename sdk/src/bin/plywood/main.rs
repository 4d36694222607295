//! `plywood`: the command line over the library, with Docker's words and flags where Docker has them.
//!
//! It uses the public API only, so that whatever it can do, a program can do.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line speaks by printing

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind as Usage};
use plywood::{Engine, EngineOptions, StorageDriver};

mod args;
mod args_build;
mod args_containers;
mod args_health;
mod args_prune;
mod args_run;
mod args_security;
mod build;
mod containers;
mod events;
mod exec;
mod detach_keys;
mod doctor;
mod failure;
mod files;
mod human;
mod hygiene;
mod images;
mod inspect;
mod later;
mod limits;
mod logs;
mod mounts;
mod output;
mod part;
mod ps;
mod run;
mod signals;
mod stats;
mod terminal;
mod transfer;
mod volumes;
mod warnings;

use args::{Arguments, Command};
use failure::{FAILED, Failure, Outcome};
use output::Output;

/// Where the engine is, opened when a command needs it.
#[derive(Debug)]
struct Session {
    root: Option<PathBuf>,
    driver: Option<StorageDriver>,
    output: Output,
}

impl Session {
    fn engine(&self) -> Outcome<Engine> {
        Ok(Engine::open_with(self.path()?, self.options())?)
    }

    fn path(&self) -> plywood::Result<PathBuf> {
        self.root.clone().map_or_else(Engine::default_path, Ok)
    }

    fn options(&self) -> EngineOptions {
        self.driver.into_iter().fold(EngineOptions::new(), EngineOptions::driver)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(error),
    };
    warnings::print();
    let session =
        Session { root: arguments.root, driver: arguments.storage_driver, output: Output::new(arguments.format) };
    match act(&session, arguments.command) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// Help and version are no failures; a mistake in the command line is one of plywood.
fn refuse(mut error: clap::Error) -> ExitCode {
    match error.kind() {
        Usage::DisplayHelp | Usage::DisplayVersion => {
            // A reader that has seen enough has closed the pipe.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        Usage::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(FAILED)
        }
        _ => {
            // That a flag may be meant as a value: behind `--` it would be taken for an image or a name.
            error.remove(ContextKind::Suggested);
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            match error.get(ContextKind::InvalidValue) {
                Some(ContextValue::String(value)) if value.contains("{{") => {
                    let hint = "templates are not read; `--format json` prints one document, for jq and the like";
                    Failure::usage(format!("{text}\n  hint: {hint}")).report()
                }
                _ => Failure::usage(text).report(),
            }
        }
    }
}

fn act(session: &Session, command: Command) -> Outcome<ExitCode> {
    let done = |outcome: Outcome<()>| outcome.map(|()| ExitCode::SUCCESS);
    match command {
        Command::Build(build) => done(build::build(session, &build)),
        Command::Import(import) => done(transfer::import(session, &import)),
        Command::Load(load) => done(transfer::load(session, &load)),
        Command::Save(save) => done(transfer::save(session, &save)),
        Command::Images(list) => done(images::list(session, &list)),
        Command::History(history) => done(images::history(session, &history)),
        Command::Tag { image, reference } => done(images::tag(session, &image, &reference)),
        Command::Rmi { force, images } => done(images::remove(session, &images, force)),
        Command::Run(run) => run::run(session, run),
        Command::Create(create) => done(run::create(session, create)),
        Command::Start(start) => run::start(session, &start),
        Command::Attach(attach) => part::attach(session, attach),
        Command::Enter(enter) => exec::enter(session, &enter),
        Command::Events(wanted) => done(events::print(session, &wanted)),
        Command::Exec(exec) => exec::exec(session, &exec),
        Command::Ps(list) => done(ps::list(session, &list)),
        Command::Logs(logs) => done(logs::print(session, &logs)),
        Command::Diff { container } => done(files::diff(session, &container)),
        Command::Commit(commit) => done(files::commit(session, &commit)),
        Command::Cp(cp) => done(files::copy(session, &cp)),
        Command::Export { output, container } => done(files::export(session, &container, output.as_deref())),
        Command::Inspect(inspect) => done(inspect::print(session, &inspect)),
        Command::Kill { signal, containers } => done(containers::kill(session, &containers, &signal)),
        Command::Stop { time, containers } => done(containers::stop(session, &containers, time)),
        Command::Restart { time, containers } => done(containers::restart(session, &containers, time)),
        Command::Pause { containers } => done(containers::pause(session, &containers)),
        Command::Unpause { containers } => done(containers::resume(session, &containers)),
        Command::Stats(stats) => done(stats::print(session, &stats)),
        Command::Wait { containers } => done(containers::wait(session, &containers)),
        Command::Rm { force, volumes: _, containers } => done(containers::remove(session, &containers, force)),
        Command::Top { container } => done(containers::top(session, &container)),
        Command::Rename { container, name } => done(containers::rename(session, &container, &name)),
        Command::Volume(volume) => done(volumes::act(session, volume)),
        Command::Doctor => doctor::examine(session),
        Command::Df => done(hygiene::df(session)),
        Command::Prune(args) => done(hygiene::prune(session, &args)),
        Command::Fsck { repair, quick } => hygiene::fsck(session, repair, quick),
        Command::Later(words) => Err(later::refuse(&words)),
    }
}
