//! What is written below a volume after its `VOLUME`.

use std::ops::Range;

use super::Checker;
use super::command::mount_key;
use super::shells::{Shell, Shells};
use crate::ast::{Body, Command, FlagValue, Instruction, Named, Origin, Text};
use crate::finding::Finding;
use crate::{path, shell};

/// Commands that write each path they are given, and those that write the last one only.
const WRITE_EACH: [&str; 3] = ["mkdir", "touch", "tee"];
const WRITE_LAST: [&str; 4] = ["cp", "mv", "install", "ln"];

/// What is known of a stage so far.
#[derive(Clone, Default)]
struct Stage<'a> {
    volumes: Vec<&'a str>,
    /// Where relative paths are, if that is known.
    directory: Option<String>,
}

impl<'a> Checker<'a> {
    pub(super) fn volumes(&mut self) {
        let mut shells = Shells::default();
        let mut stages: Vec<(&str, Stage<'a>)> = Vec::new();
        let (mut name, mut stage) = (None, Stage::default());
        for instruction in self.instructions {
            let shell = shells.at(instruction);
            match &instruction.body {
                Body::From(Named { text: base, name: next }) => {
                    stages.extend(name.map(|name| (name, std::mem::take(&mut stage))));
                    name = next.as_ref().map(|name| name.value.as_str());
                    stage = match self.origin(base) {
                        Origin::Stage => {
                            let parent = stages.iter().rfind(|(name, _)| *name == base.value);
                            parent.map(|(_, stage)| stage.clone()).unwrap_or_default()
                        }
                        Origin::Scratch => Stage { directory: Some("/".to_owned()), ..Stage::default() },
                        _ => Stage::default(),
                    };
                }
                Body::Volume(paths) => stage.volumes.extend(paths.iter().filter_map(|path| path.text.plain())),
                Body::Workdir(path) => stage.directory = path.plain().and_then(|path| stage.resolve(path)),
                _ if stage.volumes.is_empty() => {}
                Body::Copy(transfer) | Body::Add(transfer) => {
                    let to = &transfer.destination;
                    let path = to.plain().and_then(|path| stage.resolve(path));
                    let Some(volume) = path.and_then(|path| stage.holding(&path)) else { continue };
                    self.findings.push(written(volume, to));
                }
                Body::Run(Command::Shell(scripts)) if shell.reading(scripts) != Shell::Other => {
                    if let Some((script, range, volume)) = run(instruction, scripts, &stage) {
                        self.findings.push(written(volume, script).at(range));
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'a> Stage<'a> {
    /// Where a path leads, if that is known.
    fn resolve(&self, path: &str) -> Option<String> {
        let directory = if path.starts_with('/') { "/" } else { self.directory.as_deref()? };
        Some(path::resolve(directory, path))
    }

    /// The volume that a path is in.
    fn holding(&self, path: &str) -> Option<&'a str> {
        self.volumes.iter().copied().find(|volume| is_in(volume, path))
    }
}

fn written(volume: &str, text: &Text) -> Finding {
    let message = format!("what is written under `{volume}` after `VOLUME \"{volume}\"` may be lost");
    Finding::warning("write_after_volume", text.place, message).help("put the VOLUME after it")
}

fn is_in(directory: &str, path: &str) -> bool {
    let below = path.strip_prefix(directory.trim_end_matches('/'));
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The first path in a volume that a `RUN` surely writes, with its place; nothing where it may be taken away again.
fn run<'s, 'v>(
    instruction: &Instruction,
    scripts: &'s [Text],
    stage: &Stage<'v>,
) -> Option<(&'s Text, Range<usize>, &'v str)> {
    let mut found = None;
    for script in scripts {
        let text = script.known()?;
        let facts = shell::read(text).ok()?;
        let at = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        let program = |words: &[Range<usize>]| words.first().map(at).unwrap_or_default();
        let has = |programs: &[&str]| facts.commands.iter().any(|words| programs.contains(&program(words)));
        if has(&["rm", "mount", "chroot"]) {
            return None;
        }
        let moves = has(&["cd", "pushd", "popd"]);
        let mut written: Vec<&Range<usize>> = facts.outputs.iter().collect();
        for words in &facts.commands {
            let program = program(words);
            let operands = words.get(1..).unwrap_or_default();
            let has = |flag: &str| operands.iter().any(|word| at(word).starts_with(flag));
            let files = operands.iter().filter(|word| !at(word).starts_with('-')).count();
            match operands {
                // `touch -r file` reads one.
                _ if program == "touch" && has("-") => {}
                _ if WRITE_EACH.contains(&program) => written.extend(operands),
                // `cp -t directory` names the directory first.
                [.., last] if WRITE_LAST.contains(&program) && files > 1 && !has("-t") && !has("--t") => {
                    written.push(last);
                }
                _ => {}
            }
        }
        let volume = |range: &Range<usize>| {
            let path = at(range).trim_matches('"');
            let is_literal = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
            // What `..` leads to, what comes after `cd`, and what is a file system of the `RUN` itself, is not told.
            let is_known = is_literal && !path.contains("..") && (path.starts_with('/') || !moves);
            let path = stage.resolve(path).filter(|path| is_known && !is_mounted(instruction, path))?;
            stage.holding(&path).filter(|volume| !is_in(&path, volume))
        };
        let in_volumes = written.into_iter().filter_map(|range| Some((script, range.clone(), volume(range)?)));
        found = found.or(in_volumes.min_by_key(|(_, range, _)| range.start));
    }
    found
}

/// Whether a path may be in what this `RUN` mounts, and so in no layer.
fn is_mounted(instruction: &Instruction, path: &str) -> bool {
    instruction.flags.iter().any(|flag| match &flag.value {
        FlagValue::Options(options) => options
            .iter()
            .filter(|(key, _)| mount_key(&key.value) == "target")
            .any(|(_, value)| value.as_ref().and_then(Text::plain).is_none_or(|target| is_in(target, path))),
        FlagValue::None | FlagValue::One(_) => false,
    })
}
