//! `COPY --embed` and `ADD --embed`: files of the package become part of the program.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use plywood_syntax::ast::{Body, Instruction, Text};
use plywood_syntax::checks::Files as _;
use plywood_syntax::finding::Finding;
use plywood_syntax::{glob, path};
use proc_macro2::{Literal, TokenStream};
use quote::quote;

use crate::context::{self, PackageFiles};
use crate::parse::Definition;

/// Most files of one source, and most bytes: the compiler reads them whenever the crate is compiled.
const MOST_FILES: usize = 1_000;
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Finds what each `--embed` is for, and notes it for the expansion.
pub(crate) fn read(definition: &mut Definition, files: Option<&PackageFiles>) {
    let Some((files, root)) = files.and_then(|files| Some((files, files.path().canonicalize().ok()?))) else {
        return unknown(definition);
    };
    let mut findings = Vec::new();
    let context = definition.context.as_deref();
    for instruction in definition.instructions.iter().filter(|instruction| is_embedding(instruction)) {
        let (Body::Copy(transfer) | Body::Add(transfer)) = &instruction.body else { continue };
        let mut tree = quote!(::plywood::image::Embedded::new());
        for source in &transfer.sources {
            // What is no path in the context was reported.
            let Some(clean) = source.plain().filter(|value| glob::check(value).is_ok()).and_then(path::clean_source)
            else {
                continue;
            };
            for found in matches(files, &clean) {
                let mut collector =
                    Collector { files, root: &root, context, out: TokenStream::new(), count: 0, bytes: 0 };
                match collector.source(&found) {
                    Ok(()) => tree.extend(collector.out),
                    Err(message) => findings.push(finding(source, message)),
                }
            }
        }
        definition.embedded.push((instruction.place, tree));
    }
    definition.findings.extend(findings);
}

/// Reports each `--embed` where there is no context.
fn unknown(definition: &mut Definition) {
    let embedding = definition.instructions.iter().filter(|instruction| is_embedding(instruction));
    let message = "there is no build context to embed from: the directory of the package is not known";
    let finding = |instruction: &Instruction| {
        let place = instruction.flag("embed").map_or(instruction.place, |flag| flag.name.place);
        Finding::error("bad_embed", place, message).help(context::HOW_TO_TELL)
    };
    let findings: Vec<Finding> = embedding.map(finding).collect();
    definition.findings.extend(findings);
}

fn is_embedding(instruction: &Instruction) -> bool {
    instruction.is_set("embed") && instruction.flag("from").is_none()
}

fn finding(source: &Text, message: String) -> Finding {
    let help = "without `--embed` it is read when the image is built";
    Finding::error("bad_embed", source.place, message).help(help)
}

/// The paths of the context that a pattern matches, or the path itself.
fn matches(files: &PackageFiles, pattern: &str) -> Vec<String> {
    if !glob::is_pattern(pattern) {
        // One that is missing was reported.
        return files.kind(pattern).map(|_| pattern.to_owned()).into_iter().collect();
    }
    let mut found = vec![String::new()];
    for part in pattern.split('/') {
        for directory in std::mem::take(&mut found) {
            let names = files.names(&directory).into_iter().filter(|name| glob::matches(part, name));
            let paths = names.map(|name| join(&directory, &name));
            found.extend(paths.filter(|path| !files.ignore().is_ignored(path)));
        }
    }
    found
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Gathers one source as calls on `Embedded`.
struct Collector<'a> {
    files: &'a PackageFiles,
    root: &'a Path,
    /// What `#![context("…")]` names.
    context: Option<&'a str>,
    out: TokenStream,
    count: usize,
    bytes: u64,
}

impl Collector<'_> {
    /// A source itself: a link is followed, within the context.
    fn source(&mut self, name: &str) -> Result<(), String> {
        let path = self.root.join(name);
        let real = path.canonicalize().map_err(|error| format!("`{name}` cannot be embedded: {error}"))?;
        let Ok(below) = real.strip_prefix(self.root) else {
            return Err(format!("`{name}` leads to `{}`, which is outside the build context", real.display()));
        };
        self.file(name, below)
    }

    /// A file, a link itself, or a directory and what is in it. `below` is where it is, `name` what it is called.
    fn file(&mut self, name: &str, below: &Path) -> Result<(), String> {
        let path = self.root.join(below);
        let about = |error: std::io::Error| format!("`{name}` cannot be embedded: {error}");
        let metadata = fs::symlink_metadata(&path).map_err(about)?;
        let kind = metadata.file_type();
        self.count += 1;
        self.bytes += if kind.is_file() { metadata.len() } else { 0 };
        if self.count > MOST_FILES {
            return Err(format!("`{name}` is one file too many: at most {MOST_FILES} are embedded"));
        }
        if self.bytes > MOST_BYTES {
            return Err(format!("with `{name}` it is too large: at most {} MiB are embedded", MOST_BYTES >> 20));
        }
        let mode = octal(metadata.permissions().mode() & 0o7777);
        if kind.is_dir() {
            if !name.is_empty() {
                self.out.extend(quote!(.directory(#name, #mode)));
            }
            return self.children(name, below, &path);
        }
        if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(about)?;
            let target = target.to_str().ok_or_else(|| format!("`{name}` is a link to a name that is not UTF-8"))?;
            self.out.extend(quote!(.link(#name, #target)));
            return Ok(());
        }
        if !kind.is_file() {
            let what = match kind {
                kind if kind.is_socket() => "a socket",
                kind if kind.is_fifo() => "a pipe",
                _ => "a device",
            };
            return Err(format!("`{name}` is {what}, which cannot be embedded"));
        }
        // The compiler would say so too, and not where.
        File::open(&path).map_err(about)?;
        let below = below.to_str().ok_or_else(|| format!("the name of `{name}` is not UTF-8"))?;
        let place = match self.context {
            None => context::expression(below),
            Some(directory) => context::expression(&format!("{directory}/{below}")),
        };
        self.out.extend(quote!(.file(#name, #mode, ::core::include_bytes!(#place))));
        Ok(())
    }

    fn children(&mut self, name: &str, below: &Path, path: &PathBuf) -> Result<(), String> {
        let about = |error: std::io::Error| format!("`{name}` cannot be embedded: {error}");
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(about)? {
            let child = entry.map_err(about)?.file_name();
            names.push(child.into_string().map_err(|child| format!("the name {child:?} in `{name}` is not UTF-8"))?);
        }
        names.sort_unstable();
        let ignore = self.files.ignore();
        for child in names {
            let place = below.join(&child);
            let is_ignored = place.to_str().is_some_and(|place| ignore.is_ignored(place));
            if !is_ignored || ignore.may_take_back() && self.root.join(&place).is_dir() {
                self.file(&join(name, &child), &place)?;
            }
        }
        Ok(())
    }
}

/// A mode as one writes it.
fn octal(mode: u32) -> Literal {
    format!("0o{mode:o}").parse().unwrap_or_else(|_| Literal::u32_unsuffixed(mode))
}
