//! `dockerfile!`: a Dockerfile of the package, read while the program is compiled.

use std::path::{Path, PathBuf};

use plywood_syntax::ast::{Body, Instruction, Text};
use plywood_syntax::dockerfile;
use plywood_syntax::finding::{Finding, Place};
use plywood_syntax::{path, port, suggest};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};

use crate::context::{self, PackageFiles};
use crate::parse::Definition;
use crate::report;

/// Words that cannot name a constant.
const RESERVED: &str = " as async await box break const continue crate do dyn else enum extern false final fn for gen if \
    impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type \
    typeof unsafe unsized use virtual where while yield abstract become ";

/// Reads the file that a definition names, in the place of its instructions, and checks it.
pub(crate) fn read(definition: &mut Definition) {
    let Some(file) = definition.file.clone() else { return };
    let Some(path) = context::package().map(|package| package.join(&file.value)) else {
        let message = format!("`{}` cannot be found: the directory of the package is not known", file.value);
        let finding = Finding::error("missing_dockerfile", file.place, message).help(context::HOW_TO_TELL);
        return definition.findings.push(finding);
    };
    let text = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("`{}` cannot be read: {error}", file.value);
            let near = nearest(&path).map(|near| Path::new(&file.value).with_file_name(near));
            let near = near.map(|near| format!("did you mean `{}`?", near.display()));
            let finding = Finding::error("missing_dockerfile", file.place, message).maybe_help(near);
            return definition.findings.push(finding);
        }
    };
    let files = PackageFiles::open(definition.context.as_deref(), Some(&path));
    definition.rebuild_for = vec![path];
    definition.rebuild_for.extend(files.as_ref().and_then(PackageFiles::ignore_file));
    let text = match std::str::from_utf8(&text) {
        Ok(text) => text,
        Err(error) => {
            let line = text[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            let message = format!("`{}` has a byte on line {line} that is not UTF-8", file.value);
            return definition.findings.push(Finding::error("bad_dockerfile", file.place, message));
        }
    };
    let read = dockerfile::parse(text);
    let files = files.as_ref().map(|files| files as &dyn plywood_syntax::checks::Files);
    for finding in report::wanted(read.check(files), &definition.levels, &[]) {
        let position = read.position(finding.place, finding.range.as_ref());
        let (line, width) = read.excerpt(finding.place, finding.range.as_ref());
        let place = format!("{}:{}:{}", file.value, position.line, position.column);
        let excerpt = report::excerpt(&place, position.line, line, position.column.saturating_sub(1), width);
        let message = format!("{}\n{excerpt}", finding.message);
        definition.findings.push(Finding { message, place: file.place, range: None, ..finding });
    }
    definition.instructions = read.instructions;
    definition.conditions = vec![TokenStream::new(); definition.instructions.len()];
    names(definition, &file);
}

/// Checks that the file has the ports and volumes that are named here.
fn names(definition: &mut Definition, file: &Text) {
    let stage = definition.instructions.iter().rposition(|i| matches!(i.body, Body::From(_))).unwrap_or(0);
    let mut ports: Vec<String> = Vec::new();
    let mut volumes: Vec<String> = Vec::new();
    let mut unknown = false;
    for instruction in &definition.instructions[stage.min(definition.instructions.len())..] {
        match &instruction.body {
            Body::Expose(named) => {
                for text in named.iter().map(|named| &named.text) {
                    match text.plain().map(port::parse) {
                        Some(Ok(found)) => ports.extend(found.each()),
                        _ => unknown = true,
                    }
                }
            }
            Body::Volume(named) => {
                unknown |= named.iter().any(|named| named.text.plain().is_none());
                volumes.extend(named.iter().filter_map(|named| named.text.plain()).map(|p| path::resolve("/", p)));
            }
            _ => {}
        }
    }
    let mut findings = Vec::new();
    for instruction in &definition.names {
        let (what, have, wanted): (_, &[String], Vec<(String, Place)>) = match &instruction.body {
            Body::Expose(named) => {
                let key = |text: &Text| port::parse(&text.value).ok().and_then(|port| port.each().next());
                let wanted = named.iter().filter_map(|named| Some((key(&named.text)?, named.text.place)));
                ("port", &ports, wanted.collect())
            }
            Body::Volume(named) => {
                let wanted = named.iter().map(|named| (path::resolve("/", &named.text.value), named.text.place));
                ("volume", &volumes, wanted.collect())
            }
            _ => {
                let message = format!("`{}` says nothing about a Dockerfile", instruction.keyword());
                let finding = Finding::error("not_declared", instruction.place, message);
                findings.push(finding.help("EXPOSE 8080 as HTTP; or VOLUME \"/data\" as DATA;"));
                continue;
            }
        };
        for (key, place) in wanted.into_iter().filter(|(key, _)| !unknown && !have.contains(key)) {
            let message = format!("`{}` has no {what} `{key}`", file.value);
            let near = suggest::did_you_mean(&key, have.iter().map(String::as_str));
            let help = near.or_else(|| (!have.is_empty()).then(|| format!("it has `{}`", have.join("`, `"))));
            findings.push(Finding::error("not_declared", place, message).maybe_help(help));
        }
    }
    definition.findings.extend(findings);
}

/// The names of stages that can be constants, each with an identifier.
pub(crate) fn stage_names(instructions: &[Instruction], span: proc_macro2::Span) -> Vec<(String, TokenStream)> {
    let stages = plywood_syntax::ast::stages(instructions).map(|name| name.value.clone());
    let is_name = |name: &String| plywood_syntax::variables::is_name(name) && !RESERVED.contains(&format!(" {name} "));
    stages.filter(is_name).map(|name| (name.clone(), Ident::new(&name, span).to_token_stream())).collect()
}

/// What makes the compiler run again when a file changes.
pub(crate) fn rebuild(files: &[PathBuf]) -> TokenStream {
    let mut out = TokenStream::new();
    for path in files.iter().filter_map(|path| path.to_str()) {
        out.extend(quote!(
            const _: &[::core::primitive::u8] = ::core::include_bytes!(#path);
        ));
    }
    out
}

/// The name in the directory that is most like the file's.
fn nearest(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let names = context::names(path.parent()?);
    suggest::nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}
