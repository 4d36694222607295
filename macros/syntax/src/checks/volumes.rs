//! What is written below a volume after its `VOLUME`.

use std::ops::Range;

use super::Checker;
use super::command::mount_key;
use super::shells::{Shell, Shells};
use crate::ast::{Body, Command, FlagValue, Instruction, Text};
use crate::finding::Finding;
use crate::shell;

/// Commands that write each path they are given, and those that write the last one only.
const WRITE_EACH: [&str; 3] = ["mkdir", "touch", "tee"];
const WRITE_LAST: [&str; 4] = ["cp", "mv", "install", "ln"];

impl<'a> Checker<'a> {
    pub(super) fn volumes(&mut self) {
        let mut shells = Shells::default();
        let mut volumes: Vec<&'a str> = Vec::new();
        for instruction in self.instructions {
            let shell = shells.at(instruction);
            match &instruction.body {
                Body::From(_) => volumes.clear(),
                Body::Volume(paths) => volumes.extend(paths.iter().filter_map(|path| path.text.plain())),
                _ if volumes.is_empty() => {}
                Body::Copy(transfer) | Body::Add(transfer) => {
                    let to = &transfer.destination;
                    let Some(volume) = to.plain().and_then(|path| holding(&volumes, path)) else { continue };
                    self.findings.push(written(volume, to));
                }
                Body::Run(Command::Shell(scripts)) if shell.reading(scripts) != Shell::Other => {
                    if let Some((script, range, volume)) = run(instruction, scripts, &volumes) {
                        self.findings.push(written(volume, script).at(range));
                    }
                }
                _ => {}
            }
        }
    }
}

fn written(volume: &str, text: &Text) -> Finding {
    let message = format!("what is written under `{volume}` after `VOLUME \"{volume}\"` may be lost");
    Finding::warning("write_after_volume", text.place, message).help("put the VOLUME after it")
}

/// The volume that a path is in.
fn holding<'a>(volumes: &[&'a str], path: &str) -> Option<&'a str> {
    volumes.iter().copied().find(|volume| is_in(volume, path))
}

fn is_in(directory: &str, path: &str) -> bool {
    let below = path.strip_prefix(directory.trim_end_matches('/'));
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The first path in a volume that a `RUN` surely writes, with its place; nothing where it may be taken away again.
fn run<'s, 'v>(
    instruction: &Instruction,
    scripts: &'s [Text],
    volumes: &[&'v str],
) -> Option<(&'s Text, Range<usize>, &'v str)> {
    let mut found = None;
    for script in scripts {
        let text = script.known()?;
        let facts = shell::read(text).ok()?;
        let at = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        let program = |words: &[Range<usize>]| words.first().map(at).unwrap_or_default();
        if facts.commands.iter().any(|words| ["rm", "mount", "chroot"].contains(&program(words))) {
            return None;
        }
        let of_commands = facts.commands.iter().flat_map(|words| {
            let program = program(words);
            let operands = words.get(1..).unwrap_or_default();
            let has = |flag: &str| operands.iter().any(|word| at(word).starts_with(flag));
            let files = operands.iter().filter(|word| !at(word).starts_with('-')).count();
            match operands {
                // `touch -r file` reads one.
                _ if program == "touch" && has("-") => &[],
                _ if WRITE_EACH.contains(&program) => operands,
                // `cp -t directory` names the directory first.
                [.., last] if WRITE_LAST.contains(&program) && files > 1 && !has("-t") && !has("--t") => {
                    std::slice::from_ref(last)
                }
                _ => &[],
            }
        });
        let mut paths: Vec<_> = of_commands.chain(&facts.outputs).collect();
        paths.sort_by_key(|range| range.start);
        for range in paths {
            let path = at(range).trim_matches('"');
            let is_literal = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
            // What `..` leads to, and what is a file system of the `RUN` itself, is not told.
            if !is_literal || path.contains("..") || is_mounted(instruction, path) {
                continue;
            }
            let volume = volumes.iter().copied().find(|volume| is_in(volume, path) && !is_in(path, volume));
            found = found.or(volume.map(|volume| (script, range.clone(), volume)));
        }
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
