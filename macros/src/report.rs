//! Findings as the compiler shows them.

use plywood_syntax::checks::{self, Files, Surroundings};
use plywood_syntax::finding::{Finding, Severity};
use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

use crate::context::PackageFiles;
use crate::literal;
use crate::parse::Definition;
use crate::source::{self, Position, Sources};

/// Runs the checks and keeps what is to be shown.
pub(crate) fn check(definition: &mut Definition, files: Option<&PackageFiles>) {
    let sources = &definition.sources;
    let line = |place| sources.line(place);
    let around = Surroundings { line: &line, files: files.map(|files| files as &dyn Files) };
    // Without instructions the reader has said what is missing.
    let found = match definition.findings.is_empty() && definition.instructions.is_empty() {
        true => vec![
            Finding::error("no_from", plywood_syntax::finding::Place(u32::MAX), "no `FROM`: an image needs a base")
                .help("FROM \"debian:12\"; or FROM scratch;"),
        ],
        false if definition.instructions.is_empty() => Vec::new(),
        false => checks::check(&definition.instructions, &around),
    };
    definition.findings.extend(found);
}

/// One `compile_error!` for each error, as items or as statements.
pub(crate) fn errors(findings: &[Finding], sources: &Sources) -> TokenStream {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.flat_map(|finding| compile_error(finding, sources)).collect()
}

fn compile_error(finding: &Finding, sources: &Sources) -> TokenStream {
    let (span, excerpt) = locate(finding, sources);
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
    let mut message = Literal::string(&text);
    message.set_span(span);
    let mut group = Group::new(Delimiter::Brace, TokenTree::from(message).into());
    group.set_span(span);
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
fn locate(finding: &Finding, sources: &Sources) -> (Span, Option<String>) {
    let Some(piece) = sources.get(finding.place) else { return (Span::call_site(), None) };
    let (Some(range), Some(literal)) = (&finding.range, &piece.literal) else { return (piece.span, None) };
    let source = literal.to_string();
    let literal::Literal::Text { value, offsets } = literal::read(&source) else { return (piece.span, None) };
    if range.start == 0 && range.end >= value.len() {
        return (piece.span, None);
    }
    let offset = |at: usize| offsets.get(at).or(offsets.last()).copied().unwrap_or_default();
    let (from, to) = (offset(range.start), offset(range.end).max(offset(range.start) + 1));
    if let Some(span) = literal.subspan(from..to) {
        return (span, None);
    }
    let several_lines = source.contains('\n');
    // Of a long literal only the start is underlined: the compiler would print all of it.
    let span = if several_lines { source::start(piece.span) } else { piece.span };
    (span, excerpt(piece.span, &source, from, to))
}

/// The line of a literal that bytes `from..to` of its source text are on, with carets below them.
fn excerpt(span: Span, source: &str, from: usize, to: usize) -> Option<String> {
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
    // The compiler indents the lines of a message; the number's column is as wide as the number.
    let number = line.to_string();
    let gap = " ".repeat(number.len());
    let blank: String = text.chars().take(in_line).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    Some(format!("{gap}--> {file}:{line}:{column}\n{gap} |\n{number} | {text}\n{gap} | {blank}{}", "^".repeat(width)))
}
