//! Sources in the build context.

use crate::ast::Text;
use crate::finding::Finding;
use crate::ignore::Ignore;
use crate::{glob, suggest};

/// How many entries of the context are looked at to find a match for a pattern.
const MOST_ENTRIES: usize = 20_000;

/// What a path in the build context is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// The build context, as far as the checks want to see it. Paths are relative, with `/`; the root is empty.
pub trait Files {
    /// The directory itself, for messages.
    fn root(&self) -> String;
    /// What a path is, symlinks not followed.
    fn kind(&self, path: &str) -> Option<FileKind>;
    /// The names in a directory.
    fn names(&self, directory: &str) -> Vec<String>;
    /// Its `.dockerignore`, or what stands in its place.
    fn ignore(&self) -> &Ignore;
    /// The name of the file that these rules are from.
    fn ignore_name(&self) -> String {
        ".dockerignore".to_owned()
    }
}

/// What is wrong with a source of `COPY` or `ADD`, given as a clean relative path.
pub(super) fn source(files: &dyn Files, source: &Text, clean: &str) -> Option<Finding> {
    if glob::is_pattern(clean) {
        return pattern(files, source, clean);
    }
    if files.kind(clean).is_none() {
        let message = format!("`{}` is not in the build context", source.value);
        let note = format!("the context is {}", files.root());
        return Some(Finding::error("missing_source", source.place, message).maybe_help(near(files, clean)).note(note));
    }
    let line = files.ignore().excluded_by(clean).filter(|_| !files.ignore().may_take_back())?;
    let message = format!("`{}` is excluded by `{}`, line {line}", source.value, files.ignore_name());
    Some(Finding::error("ignored_source", source.place, message).help(format!("add a line `!{clean}` after it")))
}

/// The path in the context that was probably meant.
fn near(files: &dyn Files, path: &str) -> Option<String> {
    let mut found = String::new();
    for part in path.split('/') {
        let join = |name: &str| if found.is_empty() { name.to_owned() } else { format!("{found}/{name}") };
        found = if files.kind(&join(part)).is_some() {
            join(part)
        } else {
            let names = files.names(&found);
            join(suggest::nearest(part, names.iter().map(String::as_str))?)
        };
    }
    Some(format!("`{found}` is there"))
}

fn pattern(files: &dyn Files, source: &Text, clean: &str) -> Option<Finding> {
    let parts: Vec<&str> = clean.split('/').collect();
    let mut budget = MOST_ENTRIES;
    if any_match(files, String::new(), &parts, &mut budget) {
        return None;
    }
    let message = format!("`{}` matches nothing in the build context", source.value);
    let note = format!("the context is {}", files.root());
    Some(Finding::error("glob_matches_nothing", source.place, message).note(note))
}

/// Whether something below `directory` matches; also `true` where that would take too long to find out.
fn any_match(files: &dyn Files, directory: String, parts: &[&str], budget: &mut usize) -> bool {
    let Some((part, rest)) = parts.split_first() else { return true };
    if *part == "**" && any_match(files, directory.clone(), rest, budget) {
        return true;
    }
    files.names(&directory).into_iter().any(|name| {
        *budget = budget.saturating_sub(1);
        if *budget == 0 {
            return true;
        }
        let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
        let ignored = files.ignore().is_ignored(&path) && !files.ignore().may_take_back();
        if ignored || *part != "**" && !glob::matches(part, &name) {
            return false;
        }
        let below = if *part == "**" { parts } else { rest };
        below.is_empty() || files.kind(&path) == Some(FileKind::Directory) && any_match(files, path, below, budget)
    })
}
