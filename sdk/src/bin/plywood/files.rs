//! `diff`, `commit`, `cp`, `export`: the files of containers.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use plywood::container::{ChangeKind, CopyOptions};
use serde_json::json;

use crate::Session;
use crate::args::{Commit, Cp};
use crate::failure::{Failure, Outcome};
use crate::transfer::Unlocked;

pub fn diff(session: &Session, container: &str) -> Outcome<()> {
    let changes = session.engine()?.container(container)?.diff()?;
    if session.output.is_json() {
        // The numbers of Docker's API.
        let kind = |kind| match kind {
            ChangeKind::Changed => 0,
            ChangeKind::Added => 1,
            ChangeKind::Deleted => 2,
        };
        let changes = changes.iter().map(|change| json!({ "Path": change.path(), "Kind": kind(change.kind()) }));
        return session.output.json(&changes.collect::<Vec<_>>());
    }
    session.output.lines(changes)
}

pub fn commit(session: &Session, arguments: &Commit) -> Outcome<()> {
    let mut commit = session.engine()?.container(&arguments.container)?.commit();
    if let Some(reference) = &arguments.reference {
        commit = commit.reference(reference);
    }
    if let Some(author) = &arguments.author {
        commit = commit.author(author);
    }
    if let Some(message) = &arguments.message {
        commit = commit.message(message);
    }
    if !arguments.pause {
        commit = commit.without_pause();
    }
    let image = arguments.change.iter().fold(commit, plywood::container::Commit::change).run()?;
    session.output.line_or(image.id(), &json!({ "ID": image.id() }))
}

pub fn export(session: &Session, container: &str, output: Option<&Path>) -> Outcome<()> {
    let container = session.engine()?.container(container)?;
    match output {
        Some(path) if path != Path::new("-") => {
            let file = File::create(path).map_err(|error| Failure::os(format_args!("create {path:?}"), &error))?;
            Ok(container.export(io::BufWriter::with_capacity(1 << 16, file))?)
        }
        _ if io::stdout().is_terminal() => Err(Failure::usage(
            "export to standard output: it is a terminal\n  hint: use --output FILE, or redirect it",
        )),
        _ => Ok(container.export(io::BufWriter::with_capacity(1 << 16, Unlocked))?),
    }
}

/// One side of `cp`.
#[derive(Debug, PartialEq)]
enum Place<'a> {
    /// Standard input or output.
    Stream,
    Host(&'a Path),
    Container(&'a str, &'a str),
}

impl<'a> Place<'a> {
    /// A path that begins with `/` or `.` is one of the host, whatever colons it holds.
    fn parse(text: &'a str) -> Self {
        match text.split_once(':') {
            _ if text == "-" => Self::Stream,
            Some((container, path)) if !text.starts_with(['/', '.']) => Self::Container(container, path),
            _ => Self::Host(Path::new(text)),
        }
    }
}

pub fn copy(session: &Session, arguments: &Cp) -> Outcome<()> {
    let mut options = CopyOptions::new();
    if arguments.archive {
        options = options.keep_owners();
    }
    if arguments.follow_link {
        options = options.follow_link();
    }
    match (Place::parse(&arguments.from), Place::parse(&arguments.to)) {
        (Place::Container(name, path), Place::Host(host)) => {
            Ok(session.engine()?.container(name)?.copy_out_with(path, host, options)?)
        }
        (Place::Host(host), Place::Container(name, path)) => {
            Ok(session.engine()?.container(name)?.copy_in_with(host, path, options)?)
        }
        (Place::Stream, Place::Container(name, path)) => {
            if io::stdin().is_terminal() {
                return Err(Failure::usage("read an archive from standard input: it is a terminal"));
            }
            Ok(session.engine()?.container(name)?.write_archive(path, io::stdin())?)
        }
        (Place::Container(name, path), Place::Stream) => {
            if io::stdout().is_terminal() {
                return Err(Failure::usage("write an archive to standard output: it is a terminal"));
            }
            let mut archive = session.engine()?.container(name)?.read_archive_with(path, options)?;
            let mut out = io::BufWriter::with_capacity(1 << 16, Unlocked);
            io::copy(&mut archive, &mut out)?;
            Ok(out.flush()?)
        }
        (Place::Container(..), Place::Container(..)) => {
            Err(Failure::usage("copy from one container to another: copy to the host first, or pipe `cp` into `cp`"))
        }
        _ => Err(Failure::usage("copy files: the source or the destination is in a container, as CONTAINER:PATH")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_a_container_if_a_colon_follows_its_name() {
        assert_eq!(Place::parse("web:/etc"), Place::Container("web", "/etc"));
        assert_eq!(Place::parse("web:a:b"), Place::Container("web", "a:b"));
        for host in ["./a:b", "/a:b", "../a:b", "a"] {
            assert_eq!(Place::parse(host), Place::Host(Path::new(host)));
        }
        assert_eq!(Place::parse("-"), Place::Stream);
    }
}
