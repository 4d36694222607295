//! Comments that begin with `# plywood:`: what a Dockerfile has no words for, written and read.
//!
//! ```text
//! # plywood: host ["sh"]                           a base, or what is copied from: programs of the host
//! # plywood: definition                            another definition, which follows line by line
//! # plywood: | FROM debian:12
//! # plywood: stage "Build"                         a name of a stage, which a Dockerfile reads in lower case
//! # plywood: image "build"                         an image that is called like a stage
//! # plywood: embed                                 files of the program, each with its mode
//! # plywood: embed file ["app.py", "0644", "…"]
//! # plywood: line breaks are written ␤             in the values of the instruction
//! # plywood: no line break after text 0            which is a here-document
//! # plywood: content 0 ["a b", "…"]               the name, if it has one, and text of a here-document that is another
//! # plywood: paths ["a b", "/x/"]                  sources and destination that cannot stand beside a here-document
//! # plywood: command ["…"]                         a script that its own line cannot have
//! ```

use std::fmt::{self, Formatter};
use std::sync::Arc;

use plywood_syntax::ast::{Form, Text};
use plywood_syntax::dockerfile;

use super::embedded::{Embedded, EmbeddedFile};
use super::print::{Json, is_odd, reads_as_it_stands};
use super::{Base, Command, Copy, Instruction, read};
use crate::archive::base64;

/// How such a comment begins.
pub(super) const MARK: &str = "# plywood: ";
/// What stands for a base to copy from that a Dockerfile cannot name. Docker has no such image, and says so.
pub(super) const ELSEWHERE: &str = "plywood/base";
/// What stands before the name of an image that is called like a stage.
pub(super) const LIBRARY: &str = "docker.io/library/";
/// The comment before an instruction in which another character stands for a line break.
pub(super) const LINE_BREAKS: &str = "line breaks are written ";
/// The comment before a content whose last line has no end; its number, from 0, follows.
const NO_LINE_END: &str = "no line break after text ";
/// The comment before a command that cannot stand on its line; the script follows, as JSON.
const COMMAND: &str = "command ";

/// The comment before a content that its here-document cannot have; its number, name and text follow.
const CONTENT: &str = "content ";
/// The comment before a copy of contents with paths that its own line cannot have; they follow, as JSON.
const PATHS: &str = "paths ";

/// What comments say about one instruction.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// What its bases really are, those of one kind in the order of their uses.
    bases: Vec<Base>,
    /// The names of stages, as they were written.
    stages: Vec<String>,
    /// The files that are copied from.
    pub(super) embedded: Option<Embedded>,
    /// The character that stands for a line break.
    line_break: Option<char>,
    /// The contents, from 0, that end without a line break.
    pub(super) no_line_end: Vec<usize>,
    /// The contents, by their number, that a here-document cannot have: the name, if there is one, and the text.
    pub(super) contents: Vec<(usize, Vec<String>)>,
    /// Sources, and the destination after them, that the instruction's own line cannot have.
    pub(super) paths: Option<Vec<String>>,
    /// A script that the instruction's own line cannot have.
    pub(super) command: Option<String>,
}

impl Notes {
    /// Reads comments without their `# plywood: `. One that nobody generated says nothing.
    pub(super) fn of<'a>(notes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        let mut nested: Option<String> = None;
        for note in notes {
            if let Some(line) = note.strip_prefix("| ").or_else(|| note.strip_prefix('|')) {
                nested.get_or_insert_default().push_str(&format!("{line}\n"));
                continue;
            }
            found.bases.extend(nested.take().map(|text| definition(&text)));
            let (word, rest) = note.split_once(' ').unwrap_or((note, ""));
            match word {
                "host" => found.bases.extend(serde_json::from_str::<Vec<String>>(rest).ok().map(Base::host)),
                "image" => found.bases.extend(serde_json::from_str(rest).ok().map(Base::Image)),
                "stage" => found.stages.extend(serde_json::from_str::<String>(rest)),
                "embed" => {
                    let files = found.embedded.take().unwrap_or_default();
                    found.embedded = Some(embedded(files, rest));
                }
                "definition" => nested = Some(String::new()),
                _ => {
                    if let Some(mark) = note.strip_prefix(LINE_BREAKS) {
                        found.line_break = mark.chars().next();
                    } else if let Some(index) = note.strip_prefix(NO_LINE_END) {
                        found.no_line_end.extend(index.parse::<usize>());
                    } else if let Some((index, facts)) =
                        note.strip_prefix(CONTENT).and_then(|rest| rest.split_once(' '))
                    {
                        found.contents.extend(index.parse().ok().zip(serde_json::from_str(facts).ok()));
                    } else if let Some(paths) = note.strip_prefix(PATHS) {
                        found.paths = serde_json::from_str(paths).ok();
                    } else if let Some(script) = note.strip_prefix(COMMAND) {
                        found.command = serde_json::from_str::<[String; 1]>(script).ok().map(|[script]| script);
                    }
                }
            }
        }
        found.bases.extend(nested.map(|text| definition(&text)));
        found
    }

    /// A value with its line breaks.
    pub(super) fn text(&self, text: &Text) -> String {
        match self.line_break {
            Some(mark) => text.value.replace(mark, "\n"),
            None => text.value.clone(),
        }
    }

    /// The name of a stage as it was written.
    pub(super) fn stage(&mut self, name: &str) -> String {
        let written = self.stages.iter().position(|written| written.eq_ignore_ascii_case(name));
        written.map_or_else(|| name.to_owned(), |index| self.stages.remove(index))
    }

    pub(super) fn base(&mut self, text: &Text) -> Base {
        let value = text.value.as_str();
        let stands_for = |base: &Base| match base {
            Base::Image(name) => value == name || value.strip_prefix(LIBRARY) == Some(name),
            _ => value == "scratch" || value == ELSEWHERE,
        };
        if let Some(index) = self.bases.iter().position(stands_for) {
            return self.bases.remove(index);
        }
        let is_stage = matches!(text.form, Form::Stage | Form::StageNumber);
        // A number names a stage only where a comment says so.
        match self.stages.iter().position(|written| written.eq_ignore_ascii_case(value)) {
            Some(index) => Base::Stage(self.stages.remove(index)),
            None if is_stage => Base::stage(value),
            None => value.into(),
        }
    }
}

fn definition(text: &str) -> Base {
    Base::Definition(Arc::new(read::layers(&dockerfile::parse(text), &Arc::from("definition"))))
}

/// Adds the file of a comment `embed …`.
fn embedded(files: Embedded, note: &str) -> Embedded {
    let (kind, facts) = note.split_once(' ').unwrap_or((note, "[]"));
    let facts: Vec<String> = serde_json::from_str(facts).unwrap_or_default();
    let mode = |text: &str| u32::from_str_radix(text, 8).unwrap_or_default();
    match (kind, &facts[..]) {
        ("file", [path, bits, text]) => files.file(path, mode(bits), text.clone().into_bytes()),
        ("bytes", [path, bits, text]) => match base64::decode(text.as_bytes()) {
            Some(content) => files.file(path, mode(bits), content),
            None => files,
        },
        ("directory", [path, bits]) => files.directory(path, mode(bits)),
        ("link", [path, target]) => files.link(path, target),
        _ => files,
    }
}

impl Instruction {
    /// Writes the comments before an instruction.
    pub(super) fn write_notes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Self::OnBuild(inner) = self {
            return inner.write_notes(f);
        }
        self.bases().into_iter().try_for_each(|base| write_base(f, base))?;
        match self {
            Self::From(from) => from.stage().map_or(Ok(()), |stage| write_stage(f, stage)),
            Self::Copy(copy) => write_copy(f, copy),
            Self::Add(add) => write_copy(f, add.as_copy()),
            Self::Cmd(command) | Self::Entrypoint(command) => write_command(f, command),
            Self::HealthCheck(check) => check.command().map_or(Ok(()), |command| write_command(f, command)),
            // A here-document has it, but for what stands before its line breaks.
            Self::Run(run) => match run.as_command() {
                Command::Shell(script) if script.contains('\r') => write_command(f, run.as_command()),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What the instruction begins with or reads from other than the context.
    pub(super) fn bases(&self) -> Vec<&Base> {
        match self {
            Self::From(from) => vec![&from.base],
            Self::Copy(copy) => copy.base().into_iter().collect(),
            Self::Add(add) => add.as_copy().base().into_iter().collect(),
            Self::Run(run) => run.mounts().iter().filter_map(|mount| mount.base()).collect(),
            Self::OnBuild(inner) => inner.bases(),
            _ => Vec::new(),
        }
    }

    pub(super) fn bases_mut(&mut self) -> Vec<&mut Base> {
        match self {
            Self::From(from) => vec![&mut from.base],
            Self::Copy(copy) => copy.base_mut().into_iter().collect(),
            Self::Add(add) => add.base_mut().into_iter().collect(),
            Self::Run(run) => run.bases_mut().collect(),
            Self::OnBuild(inner) => inner.bases_mut(),
            _ => Vec::new(),
        }
    }
}

fn write_base(f: &mut Formatter<'_>, base: &Base) -> fmt::Result {
    match base {
        Base::Host(programs) => writeln!(f, "{MARK}host {}", Json(programs)),
        Base::Definition(layers) => {
            writeln!(f, "{MARK}definition")?;
            layers.to_string().lines().try_for_each(|line| writeln!(f, "{MARK}| {line}"))
        }
        Base::Stage(name) => write_stage(f, name),
        Base::Image(name) if name == "scratch" => write_image(f, name),
        Base::Image(_) | Base::Scratch => Ok(()),
    }
}

pub(super) fn write_image(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    writeln!(f, "{MARK}image {}", Quoted(name))
}

fn write_stage(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) || name.bytes().all(|byte| byte.is_ascii_digit()) {
        true => writeln!(f, "{MARK}stage {}", Quoted(name)),
        false => Ok(()),
    }
}

fn write_copy(f: &mut Formatter<'_>, copy: &Copy) -> fmt::Result {
    if let Some(files) = copy.embedded_files() {
        writeln!(f, "{MARK}embed")?;
        files.files().try_for_each(|(path, file)| write_file(f, path, file))?;
    }
    let paths = copy.words();
    if copy.has_content() && paths.iter().any(|path| is_odd(path)) {
        writeln!(f, "{MARK}{PATHS}{}", Json(&paths))?;
    }
    for (index, content) in copy.contents().iter().enumerate() {
        if !content.is_itself {
            let facts: Vec<String> = content.name.into_iter().chain([content.text]).map(str::to_owned).collect();
            writeln!(f, "{MARK}{CONTENT}{index} {}", Json(&facts))?;
        } else if !content.text.is_empty() && !content.text.ends_with('\n') {
            writeln!(f, "{MARK}{NO_LINE_END}{index}")?;
        }
    }
    Ok(())
}

fn write_file(f: &mut Formatter<'_>, path: &str, file: &EmbeddedFile) -> fmt::Result {
    let path = path.to_owned();
    let (kind, facts) = match file {
        EmbeddedFile::File { mode, content } => match std::str::from_utf8(content) {
            Ok(text) => ("file", vec![path, format!("{mode:04o}"), text.to_owned()]),
            Err(_) => {
                let mut text = Vec::new();
                base64::encode(content, &mut text);
                ("bytes", vec![path, format!("{mode:04o}"), String::from_utf8_lossy(&text).into_owned()])
            }
        },
        EmbeddedFile::Directory { mode } => ("directory", vec![path, format!("{mode:04o}")]),
        EmbeddedFile::Link { target } => ("link", vec![path, target.clone()]),
    };
    writeln!(f, "{MARK}embed {kind} {}", Json(&facts))
}

/// The script itself, where it would be read otherwise than it stands.
fn write_command(f: &mut Formatter<'_>, command: &Command) -> fmt::Result {
    match command {
        Command::Shell(script) if !reads_as_it_stands(script) => {
            writeln!(f, "{MARK}{COMMAND}{}", Json(std::slice::from_ref(script)))
        }
        _ => Ok(()),
    }
}

/// A string as JSON.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let array = Json(&[self.0.to_owned()]).to_string();
        f.write_str(&array[1..array.len() - 1])
    }
}
