//! Findings as the compiler shows them.

use plywood_syntax::checks::{self, Files, Surroundings};
use plywood_syntax::finding::{Finding, Place, Severity};
use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::quote;

use crate::context::PackageFiles;
use crate::literal;
use crate::parse::{Definition, Level};
use crate::source::{self, Extent, Position, Sources};

/// Runs the checks and keeps what is to be shown.
pub(crate) fn check(definition: &mut Definition, files: Option<&PackageFiles>) {
    let sources = &definition.sources;
    let line = |place| sources.line(place);
    let around = Surroundings { line: &line, files: files.map(|files| files as &dyn Files) };
    // Without instructions the reader has said what is missing.
    let found = match definition.findings.is_empty() && definition.instructions.is_empty() {
        true => vec![
            Finding::error("no_from", Place(u32::MAX), "no `FROM`: an image needs a base")
                .help("FROM \"debian:12\"; or FROM scratch;"),
        ],
        false if definition.instructions.is_empty() => Vec::new(),
        false => checks::check(&definition.instructions, &around),
    };
    let instructions = definition.instructions.iter().map(|instruction| instruction.place);
    let allowed: Vec<(Place, &[String])> = instructions.zip(definition.allowed.iter().map(Vec::as_slice)).collect();
    let wanted = wanted(found, &definition.levels, &allowed);
    definition.findings.extend(wanted);
}

/// The findings that are to be shown, as severe as they shall be. `allowed` has the place of each instruction and what
/// is allowed in it.
pub(crate) fn wanted(found: Vec<Finding>, levels: &[(String, Level)], allowed: &[(Place, &[String])]) -> Vec<Finding> {
    let level = |finding: &Finding| {
        let after = allowed.partition_point(|(place, _)| *place <= finding.place);
        let here = after.checked_sub(1).map_or(&[][..], |index| allowed[index].1);
        if here.iter().any(|name| name == finding.name) {
            return Level::Allow;
        }
        let named = levels.iter().rev().find(|(name, _)| name == finding.name).map(|(_, level)| *level);
        named.unwrap_or(if checks::OFF.contains(&finding.name) { Level::Allow } else { Level::Warn })
    };
    let shown = found.into_iter().filter_map(|finding| match (finding.severity, level(&finding)) {
        (Severity::Error, _) | (_, Level::Warn) => Some(finding),
        (Severity::Warning, Level::Allow) => None,
        (Severity::Warning, Level::Deny) => Some(Finding { severity: Severity::Error, ..finding }),
    });
    shown.collect()
}

/// What the compiler shows for each finding, as items or as statements.
pub(crate) fn messages(findings: &[Finding], sources: &Sources) -> TokenStream {
    let mut out = TokenStream::new();
    for finding in findings {
        out.extend(match finding.severity {
            Severity::Error => compile_error(finding, sources),
            Severity::Warning => warning(finding, sources),
        });
    }
    out
}

/// The use of a deprecated constant with the check's name: how a macro warns on a stable compiler.
fn warning(finding: &Finding, sources: &Sources) -> TokenStream {
    let (at, text) = text(finding, sources);
    let name = Ident::new(finding.name, Span::call_site());
    let used = Ident::new(finding.name, at.first);
    quote! {
        const _: () = {
            #[deprecated(note = #text)]
            #[allow(non_upper_case_globals, dead_code)]
            const #name: () = ();
            #used
        };
    }
}

/// Where a finding is shown, and its words.
fn text(finding: &Finding, sources: &Sources) -> (Extent, String) {
    let (at, excerpt) = locate(finding, sources);
    let mut text = finding.message.clone();
    if let Some(excerpt) = excerpt {
        text.push('\n');
        text.push_str(&excerpt);
    }
    for (what, more) in [("help", &finding.help), ("note", &finding.note)] {
        if let Some(more) = more {
            text.push_str(&format!("\n\n{what}: {more}"));
        }
    }
    (at, text)
}

/// The compiler underlines it from the first of its tokens to the last.
fn compile_error(finding: &Finding, sources: &Sources) -> TokenStream {
    let (Extent { first: span, last }, text) = text(finding, sources);
    let mut message = Literal::string(&text);
    message.set_span(last);
    let mut group = Group::new(Delimiter::Brace, TokenTree::from(message).into());
    group.set_span(last);
    let colon = |spacing| TokenTree::from(spanned(Punct::new(':', spacing), span));
    TokenStream::from_iter([
        colon(Spacing::Joint),
        colon(Spacing::Alone),
        Ident::new("core", span).into(),
        colon(Spacing::Joint),
        colon(Spacing::Alone),
        Ident::new("compile_error", span).into(),
        spanned(Punct::new('!', Spacing::Alone), span).into(),
        group.into(),
    ])
}

fn spanned(mut punct: Punct, span: Span) -> Punct {
    punct.set_span(span);
    punct
}

/// The tightest span of a finding; where that is a whole literal, also an excerpt that shows the part meant.
fn locate(finding: &Finding, sources: &Sources) -> (Extent, Option<String>) {
    let Some(piece) = sources.get(finding.place) else { return (Span::call_site().into(), None) };
    let (Some(range), Some(literal)) = (&finding.range, &piece.literal) else { return (piece.extent, None) };
    let source = literal.to_string();
    let literal::Literal::Text { value, offsets } = literal::read(&source) else { return (piece.extent, None) };
    if range.start == 0 && range.end >= value.len() {
        return (piece.extent, None);
    }
    let offset = |at: usize| offsets.get(at).or(offsets.last()).copied().unwrap_or_default();
    let (from, to) = (offset(range.start), offset(range.end).max(offset(range.start) + 1));
    if let Some(span) = literal.subspan(from..to) {
        return (span.into(), None);
    }
    let whole = piece.extent.first;
    let several_lines = source.contains('\n');
    // Of a long literal only the start is underlined: the compiler would print all of it.
    let span = if several_lines { source::start(whole) } else { whole };
    (span.into(), excerpt_of(whole, &source, from, to))
}

/// The line of a literal that bytes `from..to` of its source text are on, with carets below them.
fn excerpt_of(span: Span, source: &str, from: usize, to: usize) -> Option<String> {
    let start = Position::start(span)?;
    let file = source::file(span)?;
    let before = source.get(..from)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_end = source[from..].find('\n').map_or(source.len(), |at| from + at);
    let text = &source[line_start..line_end];
    let in_line = source[line_start..from].chars().count();
    let line = start.line + before.matches('\n').count();
    let column = in_line + if line_start == 0 { start.column } else { 1 };
    let width = source.get(from..to.min(line_end))?.chars().count().max(1);
    Some(excerpt(&format!("{file}:{line}:{column}"), line, text, in_line, width))
}

/// A line with carets below the `width` characters that come after the first `before`, as the compiler shows it.
pub(crate) fn excerpt(place: &str, line: usize, text: &str, before: usize, width: usize) -> String {
    // The number's column is as wide as the number.
    let number = line.to_string();
    let gap = " ".repeat(number.len());
    let blank: String = text.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    format!("{gap}--> {place}\n{gap} |\n{number} | {text}\n{gap} | {blank}{}", "^".repeat(width))
}
