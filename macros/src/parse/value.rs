//! Values: strings, numbers, `{expressions}`, and what people write instead.

use plywood_syntax::ast::{FlagValue, Form, Text};
use plywood_syntax::grammar::KEYWORDS;
use proc_macro2::{Delimiter, Group, Literal, Span, TokenStream, TokenTree};
use quote::ToTokens;

use super::Parser;
use super::cursor::{Cursor, unraw};
use crate::literal;
use crate::source::Position;

/// Instructions of one value, for which a whole corrected line can be shown.
const OF_ONE_VALUE: [&str; 5] = ["FROM", "WORKDIR", "USER", "VOLUME", "STOPSIGNAL"];

impl Parser {
    /// A value, or nothing at the end of the instruction. What is no value is reported, skipped, and stands for one.
    pub(super) fn value(&mut self, cursor: &mut Cursor, keyword: &str) -> Option<Text> {
        match cursor.peek(0).cloned()? {
            TokenTree::Literal(literal) if !is_number_of_more(cursor) => {
                cursor.next();
                return Some(self.literal(&literal, literal.span()));
            }
            TokenTree::Group(group) => match group.delimiter() {
                Delimiter::Brace => {
                    cursor.next();
                    return Some(self.expression(&group, group.stream()));
                }
                // A value that came through `macro_rules!`.
                Delimiter::None => {
                    cursor.next();
                    let mut inner = group.stream().into_iter();
                    if let (Some(TokenTree::Literal(literal)), None) = (inner.next(), inner.next()) {
                        return Some(self.literal(&literal, group.span()));
                    }
                    return Some(self.expression(&group, group.stream()));
                }
                _ => {}
            },
            _ if is_end(cursor) => return None,
            _ => {}
        }
        Some(self.unquoted(cursor, keyword))
    }

    fn literal(&mut self, literal: &Literal, span: Span) -> Text {
        match literal::read(&literal.to_string()) {
            literal::Literal::Text { value, .. } => {
                let place = self.sources.add(span, string(&value, span), Some(literal.clone()));
                Text { value, form: Form::Quoted, place }
            }
            literal::Literal::Number(value) => {
                // As a string, or a leading zero would be lost.
                let place = self.sources.add(span, string(&value, span), None);
                Text { value, form: Form::Number, place }
            }
            literal::Literal::Other(what) => {
                let source = literal.to_string();
                let finding = self.error("not_a_string", literal, format!("expected a string, found {what}"));
                finding.help = match source.split_once('"') {
                    Some((prefix, _)) => Some(format!("remove the `{}`", prefix.trim_end_matches(['r', '#']))),
                    None => Some("use double quotes".to_owned()),
                };
                self.unknown(span)
            }
        }
    }

    fn expression(&mut self, group: &Group, tokens: TokenStream) -> Text {
        if tokens.is_empty() {
            self.error("missing_argument", group, "expected an expression").help = Some("{self.field}".to_owned());
        }
        let value = tokens.to_string();
        let place = self.sources.add(group.span(), tokens, None);
        Text { value, form: Form::Expression, place }
    }

    /// Stands for a value that was reported.
    fn unknown(&mut self, span: Span) -> Text {
        let place = self.sources.add(span, string("", span), None);
        Text { value: String::new(), form: Form::Expression, place }
    }

    /// Words and punctuation where a value should be: reported, and read to their end.
    pub(super) fn unquoted(&mut self, cursor: &mut Cursor, keyword: &str) -> Text {
        let first = cursor.peek(0).cloned();
        let span = first.as_ref().map_or_else(|| cursor.last_span(), TokenTree::span);
        let mut text = String::new();
        let mut last: Option<Position> = None;
        while let Some(token) = cursor.peek(0) {
            let is_string = matches!(token, TokenTree::Literal(literal) if !matches!(literal::read(&literal.to_string()), literal::Literal::Number(_)));
            let keyword_next =
                matches!(token, TokenTree::Ident(word) if KEYWORDS.iter().any(|keyword| word == keyword));
            if !text.is_empty() && (is_end(cursor) || is_string || keyword_next) {
                break;
            }
            if let (Some(last), Some(start)) = (last, Position::start(token.span())) {
                let gap = if last.line == start.line { start.column.saturating_sub(last.column) } else { 1 };
                text.push_str(if gap > 0 { " " } else { "" });
            }
            last = Position::end(token.span());
            text.push_str(&token.to_string());
            cursor.next();
        }
        let quoted = format!("\"{}\"", text.replace("\"", "\\\""));
        let help = if OF_ONE_VALUE.contains(&keyword) { format!("{keyword} {quoted};") } else { quoted };
        let place = self.sources.span(cursor.extent_from(span));
        let finding = plywood_syntax::finding::Finding::error("unquoted", place, "this value needs quotes");
        self.report(finding.help(help));
        self.unknown(span)
    }

    /// `[ value, … ]`.
    pub(super) fn array(&mut self, group: &Group, keyword: &str) -> Vec<Text> {
        let mut cursor = Cursor::new(group.stream());
        let mut values = Vec::new();
        while !cursor.is_empty() {
            match self.value(&mut cursor, keyword) {
                Some(text) => values.push(text),
                None => {
                    let token = cursor.next();
                    self.error("wrong_count", &token, "expected a value").help = Some("[\"a\", \"b\"]".to_owned());
                    continue;
                }
            }
            if cursor.is_punct(0, ',') {
                cursor.next();
            } else if let Some(token) = cursor.peek(0).cloned() {
                self.error("wrong_count", &token, "expected `,` between the elements of an array");
            }
        }
        values
    }

    /// The value of a flag: a value, or a bare word.
    pub(super) fn flag_value(&mut self, cursor: &mut Cursor, keyword: &str) -> Option<Text> {
        self.bare(cursor, false).or_else(|| self.value(cursor, keyword))
    }

    /// A bare word or a Rust path, unless more of an unquoted value follows it.
    pub(super) fn bare(&mut self, cursor: &mut Cursor, in_options: bool) -> Option<Text> {
        let start = cursor.position();
        let first = cursor.peek(0)?.span();
        let mut tokens = TokenStream::new();
        if cursor.is_pair(0, ':', ':') {
            tokens.extend(cursor.take(2));
        }
        let mut words = 0;
        while let Some(TokenTree::Ident(word)) = cursor.peek(0).cloned() {
            tokens.extend(cursor.take(1));
            words += 1;
            if !cursor.is_pair(0, ':', ':') {
                let more = matches!(cursor.peek(0), Some(TokenTree::Punct(punct)) if !";=-,&".contains(punct.as_char()))
                    || cursor.is_punct(0, '-') && !cursor.is_punct(1, '-')
                    || cursor.is_punct(0, ',') && !in_options;
                if more {
                    break;
                }
                let form = if words == 1 && tokens.clone().into_iter().count() == 1 { Form::Bare } else { Form::Path };
                let value = if form == Form::Bare { unraw(&word) } else { tokens.to_string().replace(" ", "") };
                let place = self.sources.add(cursor.extent_from(first), tokens, None);
                return Some(Text { value, form, place });
            }
            tokens.extend(cursor.take(2));
        }
        cursor.reset(start);
        None
    }

    /// `type=cache,target="/x"`, bare or as one string.
    pub(super) fn options_value(&mut self, cursor: &mut Cursor, keyword: &str) -> FlagValue {
        if let Some(TokenTree::Literal(_)) = cursor.peek(0) {
            let Some(text) = self.value(cursor, keyword) else { return FlagValue::None };
            let Some(value) = text.known().filter(|_| text.form == Form::Quoted) else { return FlagValue::One(text) };
            let options = value.split(',').map(|option| {
                let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value)));
                // All parts are underlined as the one string they stand in; each stands for itself in the expansion.
                let span = self.sources.span_of(text.place);
                let place = |parser: &mut Self, value: &str| parser.sources.add(span, string(value, span), None);
                let key = Text { value: key.to_owned(), form: Form::Bare, place: place(self, key) };
                (
                    key,
                    value.map(|value| Text { value: value.to_owned(), form: Form::Quoted, place: place(self, value) }),
                )
            });
            return FlagValue::Options(options.collect());
        }
        let mut options = Vec::new();
        while let Some((key, at)) = cursor.dashed_word() {
            let place = self.sources.span(at);
            let key = Text { value: key, form: Form::Bare, place };
            let value = if cursor.is_punct(0, '=') {
                cursor.next();
                self.bare(cursor, true).or_else(|| self.value(cursor, "--mount"))
            } else {
                None
            };
            options.push((key, value));
            if !cursor.is_punct(0, ',') {
                break;
            }
            cursor.next();
        }
        if options.is_empty() { FlagValue::None } else { FlagValue::Options(options) }
    }
}

/// Whether a number is the beginning of something longer, as in `1000:1000`.
fn is_number_of_more(cursor: &Cursor) -> bool {
    let number = matches!(cursor.peek(0), Some(TokenTree::Literal(literal))
        if matches!(literal::read(&literal.to_string()), literal::Literal::Number(_)));
    number && matches!(cursor.peek(1), Some(TokenTree::Punct(punct)) if ":/.@".contains(punct.as_char()))
}

/// A string literal at a span.
fn string(value: &str, span: Span) -> TokenStream {
    let mut literal = Literal::string(value);
    literal.set_span(span);
    literal.to_token_stream()
}

/// Whether a value ends here: `;`, `=>`, `&&`, `,`, `as`, a flag, or the end.
pub(super) fn is_end(cursor: &Cursor) -> bool {
    cursor.is_empty()
        || cursor.is_punct(0, ';')
        || cursor.is_punct(0, ',')
        || cursor.is_pair(0, '=', '>')
        || cursor.is_pair(0, '&', '&')
        || cursor.is_pair(0, '<', '<')
        || cursor.is_pair(0, '-', '-')
        || cursor.is_ident(0, "as")
}
