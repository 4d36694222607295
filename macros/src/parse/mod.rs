//! Tokens → tree. A mistake is noted, and reading goes on with the next thing that makes sense.

mod body;
mod cursor;
mod value;

use plywood_syntax::ast::{Body, Flag, FlagValue, Form, Instruction, Text};
use plywood_syntax::checks;
use plywood_syntax::finding::{Finding, Place};
use plywood_syntax::grammar::{self, KEYWORDS, Takes};
use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;

use crate::source::{self, Extent, Position, Sources};
use cursor::Cursor;

/// What `layers!` was given.
pub(crate) struct Definition {
    pub(crate) header: Option<Header>,
    /// What `#![context("…")]` names.
    pub(crate) context: Option<String>,
    pub(crate) instructions: Vec<Instruction>,
    /// The `#[cfg(…)]` attributes of each instruction.
    pub(crate) conditions: Vec<TokenStream>,
    pub(crate) sources: Sources,
    pub(crate) findings: Vec<Finding>,
    /// What `#![allow(…)]` and its like say.
    pub(crate) levels: Vec<(String, Level)>,
    /// The checks that `#[allow(…)]` before each instruction switches off.
    pub(crate) allowed: Vec<Vec<String>>,
    /// The path that `dockerfile!` was given.
    pub(crate) file: Option<Text>,
    /// What it names of the file.
    pub(crate) names: Vec<Instruction>,
    /// Files whose change makes the compiler run again.
    pub(crate) rebuild_for: Vec<std::path::PathBuf>,
    /// Words that begin no instruction: perhaps the first letters of one.
    pub(crate) unknown: Vec<Ident>,
    /// What each `--embed` is for, by the place of the instruction.
    pub(crate) embedded: Vec<(Place, TokenStream)>,
}

/// What happens to what a check finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Allow,
    Warn,
    Deny,
}

/// The declared type.
pub(crate) struct Header {
    pub(crate) attributes: TokenStream,
    pub(crate) visibility: TokenStream,
    pub(crate) name: Ident,
    /// The fields in braces; none for a unit struct.
    pub(crate) fields: Option<TokenTree>,
}

/// Reads the tokens of `layers!`, or of `dockerfile!`, which begin with a path.
pub(crate) fn definition(input: TokenStream, is_file: bool) -> Definition {
    let mut parser = Parser::default();
    let mut cursor = Cursor::new(input);
    let context = parser.options(&mut cursor);
    let header = parser.header(&mut cursor);
    let file = is_file.then(|| parser.file(&mut cursor)).flatten();
    let mut instructions = Vec::new();
    let mut conditions = Vec::new();
    let mut allowed = Vec::new();
    while !cursor.is_empty() {
        let (condition, allow) = parser.attributes(&mut cursor);
        let before = cursor.position();
        if let Some(instruction) = parser.instruction(&mut cursor, true) {
            instructions.push(instruction);
            conditions.push(condition);
            allowed.push(allow);
        }
        if cursor.position() == before {
            cursor.next();
        }
    }
    let Parser { sources, findings, levels, unknown } = parser;
    let names = if is_file { std::mem::take(&mut instructions) } else { Vec::new() };
    let (rebuild_for, embedded) = (Vec::new(), Vec::new());
    Definition {
        header,
        context,
        instructions,
        conditions,
        sources,
        findings,
        levels,
        allowed,
        file,
        names,
        unknown,
        rebuild_for,
        embedded,
    }
}

/// Reads instructions and remembers where everything stood.
#[derive(Default)]
pub(super) struct Parser {
    sources: Sources,
    findings: Vec<Finding>,
    levels: Vec<(String, Level)>,
    unknown: Vec<Ident>,
}

impl Parser {
    /// The path of a Dockerfile, with its `;` where more follows.
    fn file(&mut self, cursor: &mut Cursor) -> Option<Text> {
        let before = self.findings.len();
        let path = self.value(cursor, "dockerfile!").filter(|path| path.form == Form::Quoted);
        if path.is_none() && self.findings.len() == before {
            let at = cursor.peek(0).cloned();
            let finding = self.error("missing_argument", &at, "`dockerfile!` needs the path of a Dockerfile");
            finding.help = Some("\"docker/Dockerfile\"; it is relative to the package".to_owned());
        }
        if cursor.is_punct(0, ';') {
            cursor.next();
        }
        path
    }

    fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn error(&mut self, name: &'static str, at: &impl ToTokens, message: impl Into<String>) -> &mut Finding {
        let place = self.place(at);
        self.findings.push(Finding::error(name, place, message));
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    fn place(&mut self, at: &impl ToTokens) -> Place {
        let tokens: Vec<TokenTree> = at.to_token_stream().into_iter().collect();
        let span = |token: Option<&TokenTree>| token.map_or_else(proc_macro2::Span::call_site, TokenTree::span);
        self.sources.span(Extent { first: span(tokens.first()), last: span(tokens.last()) })
    }

    /// `#![context("…")]` and `#![allow(…)]`, `warn`, `deny`.
    fn options(&mut self, cursor: &mut Cursor) -> Option<String> {
        let mut context = None;
        while cursor.is_punct(0, '#') && cursor.is_punct(1, '!') {
            let Some(TokenTree::Group(group)) = cursor.peek(2).cloned() else { break };
            (0..3).for_each(|_| {
                cursor.next();
            });
            let mut inner = Cursor::new(group.stream());
            match (inner.next(), inner.next()) {
                (Some(TokenTree::Ident(name)), Some(TokenTree::Group(list))) => match name.to_string().as_str() {
                    "context" => {
                        let mut list = Cursor::new(list.stream());
                        context = self.value(&mut list, "context").and_then(|text| self.context(&text));
                    }
                    "allow" => self.levels(list.stream(), Level::Allow),
                    "warn" => self.levels(list.stream(), Level::Warn),
                    "deny" => self.levels(list.stream(), Level::Deny),
                    other => {
                        let message = format!("unknown option `{other}`");
                        let finding = self.error("unknown_check", &name, message);
                        finding.help = Some("`context`, `allow`, `warn` or `deny`".to_owned());
                    }
                },
                _ => {
                    let finding = self.error("unknown_check", &group, "expected an option");
                    finding.help = Some("#![context(\"docker\")]".to_owned());
                }
            }
        }
        context
    }

    /// The directory that `#![context("…")]` names, which must be there.
    fn context(&mut self, text: &Text) -> Option<String> {
        let name = text.known()?;
        if crate::context::package().is_some_and(|package| !package.join(name).is_dir()) {
            let message = format!("the build context `{name}` is not a directory of the package");
            self.report(Finding::error("missing_source", text.place, message));
        }
        Some(name.to_owned())
    }

    fn levels(&mut self, names: TokenStream, level: Level) {
        let names = self.check_names(names);
        self.levels.extend(names.into_iter().map(|name| (name, level)));
    }

    /// The names in `allow(…)`; one that no check has is reported.
    fn check_names(&mut self, names: TokenStream) -> Vec<String> {
        let mut known = Vec::new();
        for token in names {
            if let TokenTree::Ident(name) = &token {
                let place = self.sources.span(name.span());
                match checks::unknown_check(&name.to_string(), place) {
                    Some(finding) => self.findings.push(finding),
                    None => known.push(name.to_string()),
                }
            }
        }
        known
    }

    fn header(&mut self, cursor: &mut Cursor) -> Option<Header> {
        let start = cursor.position();
        let mut attributes = TokenStream::new();
        while cursor.is_punct(0, '#') && matches!(cursor.peek(1), Some(TokenTree::Group(_))) {
            attributes.extend(cursor.take(2));
        }
        let mut visibility = TokenStream::new();
        if cursor.is_ident(0, "pub") {
            visibility.extend(cursor.take(1));
            if matches!(cursor.peek(0), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis) {
                visibility.extend(cursor.take(1));
            }
        }
        if !cursor.is_ident(0, "struct") {
            if !visibility.is_empty() {
                let at = visibility.clone();
                self.error("missing_argument", &at, "expected `struct` and a name after `pub`").help =
                    Some("pub struct Web;".to_owned());
                cursor.skip_past_semicolon();
            } else {
                cursor.reset(start);
            }
            return None;
        }
        let keyword = cursor.next();
        let Some(TokenTree::Ident(name)) = cursor.peek(0).cloned() else {
            self.error("missing_argument", &keyword, "`struct` needs a name").help = Some("pub struct Web;".to_owned());
            cursor.skip_past_semicolon();
            return None;
        };
        cursor.next();
        let fields = match cursor.peek(0).cloned() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                cursor.next();
                if cursor.is_punct(0, ';') {
                    cursor.next();
                }
                Some(group.into())
            }
            Some(TokenTree::Punct(punct)) if punct.as_char() == ';' => {
                cursor.next();
                None
            }
            _ => {
                let finding = self.error("missing_semicolon", &name, format!("expected `;` or fields after `{name}`"));
                finding.help = Some(format!("struct {name};"));
                let is_instruction = matches!(cursor.peek(0), Some(TokenTree::Ident(word)) if is_keyword(word));
                if !is_instruction {
                    cursor.skip_past_semicolon();
                }
                None
            }
        };
        Some(Header { attributes, visibility, name, fields })
    }

    /// The attributes before an instruction: those of `#[cfg(…)]`, and the names in `#[allow(…)]`.
    fn attributes(&mut self, cursor: &mut Cursor) -> (TokenStream, Vec<String>) {
        let mut conditions = TokenStream::new();
        let mut allowed = Vec::new();
        while cursor.is_punct(0, '#') {
            let Some(TokenTree::Group(group)) = cursor.peek(1).cloned() else { break };
            let attribute = cursor.take(2);
            let mut inner = Cursor::new(group.stream());
            match (inner.next(), inner.next()) {
                (Some(TokenTree::Ident(name)), Some(TokenTree::Group(list))) if name == "allow" => {
                    allowed.extend(self.check_names(list.stream()));
                }
                (Some(TokenTree::Ident(name)), Some(TokenTree::Group(_))) if name == "cfg" => {
                    conditions.extend(attribute);
                }
                // A comment that documents the next instruction.
                (Some(TokenTree::Ident(name)), _) if name == "doc" => {}
                _ => {
                    let finding = self.error("unknown_check", &group, "an instruction takes `allow` and `cfg` only");
                    finding.help = Some("#[allow(unpinned_base)]".to_owned());
                }
            }
        }
        (conditions, allowed)
    }

    /// One instruction with its `;`; `ended` is false within `ONBUILD`, whose own `;` it is.
    fn instruction(&mut self, cursor: &mut Cursor, ended: bool) -> Option<Instruction> {
        let Some(TokenTree::Ident(word)) = cursor.peek(0).cloned() else {
            self.no_instruction(cursor);
            return None;
        };
        let place = self.sources.add(word.span(), word.to_token_stream(), None);
        let keyword = self.keyword(&word, place);
        cursor.next();
        let Some(keyword) = keyword else {
            cursor.skip_past_semicolon_or_to(is_keyword);
            return None;
        };
        let flags = self.flags(cursor, keyword);
        let body = self.body(cursor, keyword, &word);
        if ended {
            self.end(cursor, keyword);
        }
        Some(Instruction { place, flags, body: body? })
    }

    /// The instruction a word means; a mistyped one is reported and read as the one that was probably meant.
    fn keyword(&mut self, word: &Ident, place: Place) -> Option<&'static str> {
        let text = word.to_string();
        if let Some(keyword) = KEYWORDS.into_iter().find(|keyword| *keyword == text) {
            return Some(keyword);
        }
        self.report(grammar::unknown_instruction(&text, place));
        self.unknown.push(word.clone());
        plywood_syntax::suggest::nearest(&text, KEYWORDS)
    }

    fn no_instruction(&mut self, cursor: &mut Cursor) {
        let Some(token) = cursor.peek(0).cloned() else { return };
        if cursor.is_punct(0, ';') {
            cursor.next();
            return;
        }
        if cursor.is_punct(0, '#') {
            self.error("hash_comment", &token, "comments are written with `//` here").help = Some("// …".to_owned());
            // The rest of the line is the comment, where lines are known; else the rest of the instruction.
            let Some(line) = Position::start(token.span()).map(|position| position.line) else {
                return cursor.skip_past_semicolon();
            };
            while cursor.peek(0).is_some_and(|next| Position::start(next.span()).is_some_and(|next| next.line == line))
            {
                cursor.next();
            }
            return;
        }
        let found = match &token {
            TokenTree::Literal(_) => "a value".to_owned(),
            TokenTree::Group(_) => "a group".to_owned(),
            token => format!("`{token}`"),
        };
        self.error("unknown_instruction", &token, format!("expected an instruction, found {found}")).help =
            Some("RUN \"apt-get update\";".to_owned());
        cursor.skip_past_semicolon();
    }

    fn flags(&mut self, cursor: &mut Cursor, keyword: &'static str) -> Vec<Flag> {
        let mut flags = Vec::new();
        while cursor.is_punct(0, '-') && cursor.is_punct(1, '-') {
            let dashes = cursor.take(2);
            let first = dashes[0].span();
            let Some((name, at)) = cursor.dashed_word() else {
                let at: TokenStream = dashes.into_iter().collect();
                self.error("unknown_flag", &at, "`--` needs the name of a flag");
                continue;
            };
            let name = Text::bare(name, self.sources.flag(first, at));
            let value = match cursor.is_punct(0, '=') {
                false => FlagValue::None,
                true => {
                    cursor.next();
                    match grammar::takes(keyword, &name.value) {
                        Some(Takes::Options) => self.options_value(cursor, keyword),
                        _ => self.flag_value(cursor, keyword).map_or(FlagValue::None, FlagValue::One),
                    }
                }
            };
            flags.push(Flag { name, value });
        }
        flags
    }

    /// The `;` of an instruction.
    fn end(&mut self, cursor: &mut Cursor, keyword: &'static str) {
        if cursor.is_punct(0, ';') {
            cursor.next();
            return;
        }
        let at_instruction = matches!(cursor.peek(0), Some(TokenTree::Ident(word)) if is_keyword(word));
        if cursor.is_empty() || at_instruction {
            let place = self.sources.span(source::end(cursor.last_span()));
            let message = format!("expected `;` after this `{keyword}`");
            return self.report(Finding::error("missing_semicolon", place, message));
        }
        self.leftover(cursor, keyword);
        cursor.skip_past_semicolon_or_to(is_keyword);
    }

    /// Something after a complete instruction.
    fn leftover(&mut self, cursor: &mut Cursor, keyword: &'static str) {
        let Some(token) = cursor.peek(0).cloned() else { return };
        let (what, help) = match (keyword, &token) {
            ("RUN", TokenTree::Literal(_)) => {
                ("`RUN` takes one command".to_owned(), "join several with `&&`".to_owned())
            }
            ("COPY" | "ADD", TokenTree::Literal(_)) => {
                (format!("`{keyword}` has one destination"), format!("{keyword} \"source\" => \"/destination/\";"))
            }
            (_, TokenTree::Literal(_)) => {
                let (argument, example) = grammar::argument(keyword);
                (format!("`{keyword}` takes {}, found 2", argument.replacen("a ", "one ", 1)), example.to_owned())
            }
            ("RUN" | "CMD" | "ENTRYPOINT", TokenTree::Punct(_)) => (
                format!("unexpected {} after this `{keyword}`", cursor::shown(&token)),
                format!("what the shell reads stands in one string: {keyword} \"a || b\";"),
            ),
            (_, token) => {
                let token = cursor::shown(token);
                (
                    format!("unexpected {token} after this `{keyword}`"),
                    format!("`;` ends an instruction: {}", grammar::argument(keyword).1),
                )
            }
        };
        self.error("wrong_count", &token, what).help = Some(help);
    }

    /// `as NAME`.
    fn name(&mut self, cursor: &mut Cursor) -> Option<Text> {
        if !cursor.is_ident(0, "as") && !cursor.is_ident(0, "AS") {
            return None;
        }
        let word = cursor.next();
        match cursor.peek(0).cloned() {
            Some(TokenTree::Ident(name)) => {
                cursor.next();
                let place = self.sources.add(name.span(), name.to_token_stream(), None);
                Some(Text { value: name.to_string(), form: Form::Bare, place })
            }
            Some(token @ TokenTree::Literal(_)) => {
                cursor.next();
                self.error("wrong_count", &token, "a name is written without quotes").help =
                    Some(format!("as {}", token.to_string().trim_matches('"')));
                None
            }
            _ => {
                self.error("missing_argument", &word, "`as` needs a name").help = Some("as HTTP".to_owned());
                None
            }
        }
    }

    /// Reports that an instruction says too little.
    fn missing(&mut self, keyword: &'static str, at: &impl ToTokens) -> Option<Body> {
        let (argument, example) = grammar::argument(keyword);
        self.error("missing_argument", at, format!("`{keyword}` needs {argument}")).help = Some(example.to_owned());
        None
    }
}

/// Whether a word begins an instruction.
fn is_keyword(word: &Ident) -> bool {
    KEYWORDS.iter().any(|keyword| word == keyword)
}
