//! What follows the flags of each instruction.

use plywood_syntax::ast::{Body, Command, Form, Inline, Named, Text, Transfer};
use plywood_syntax::finding::Finding;
use plywood_syntax::{grammar, port, variables};
use proc_macro2::{Delimiter, Ident, Literal, TokenTree};
use quote::ToTokens;

use super::cursor::{Cursor, unraw};
use super::value::is_end;
use super::{Parser, is_keyword};
use crate::source::{self, Extent};

impl Parser {
    pub(super) fn body(&mut self, cursor: &mut Cursor, keyword: &'static str, word: &Ident) -> Option<Body> {
        match keyword {
            "FROM" => self.from(cursor, word),
            "ARG" => self.args(cursor, word),
            "ENV" => self.pairs(cursor, "ENV", word).map(Body::Env),
            "LABEL" => self.pairs(cursor, "LABEL", word).map(Body::Label),
            "RUN" => self.command(cursor, keyword, word).map(Body::Run),
            "CMD" => self.command(cursor, keyword, word).map(Body::Cmd),
            "ENTRYPOINT" => self.command(cursor, keyword, word).map(Body::Entrypoint),
            "COPY" => self.transfer(cursor, keyword, word).map(Body::Copy),
            "ADD" => self.transfer(cursor, keyword, word).map(Body::Add),
            "WORKDIR" => self.one(cursor, keyword, word).map(Body::Workdir),
            "USER" => self.one(cursor, keyword, word).map(Body::User),
            "EXPOSE" => self.ports(cursor, word),
            "VOLUME" => self.volumes(cursor, word),
            "HEALTHCHECK" => self.health_check(cursor, word),
            "STOPSIGNAL" => match self.bare(cursor, false) {
                Some(mut signal) => {
                    // A signal is a word, but its value goes into a string.
                    let span = self.sources.span_of(signal.place);
                    signal.place = self.sources.add(span, literal(&signal.value, span), None);
                    Some(Body::StopSignal(signal))
                }
                None => self.one(cursor, keyword, word).map(Body::StopSignal),
            },
            "SHELL" => self.shell(cursor, word),
            _ => {
                if cursor.is_punct(0, ';') || cursor.is_empty() {
                    return self.missing("ONBUILD", word);
                }
                // One in another is refused here, so that a thousand of them are no thousand levels.
                if cursor.is_ident(0, "ONBUILD") {
                    let at = cursor.next();
                    self.error("bad_onbuild", &at, "`ONBUILD ONBUILD` cannot be");
                    cursor.skip_before_semicolon();
                    return None;
                }
                let inner = self.instruction(cursor, false)?;
                Some(Body::OnBuild(Box::new(inner)))
            }
        }
    }

    fn from(&mut self, cursor: &mut Cursor, word: &Ident) -> Option<Body> {
        let at_end = cursor.is_ident(0, "as") || cursor.is_punct(0, ';') || cursor.is_empty();
        let next_instruction = matches!(cursor.peek(0), Some(TokenTree::Ident(next)) if is_keyword(next));
        if at_end || next_instruction {
            self.missing("FROM", word);
        }
        let text = match self.bare(cursor, false) {
            _ if at_end || next_instruction => self.placeholder(word),
            Some(text) => text,
            None => match self.value(cursor, "FROM") {
                Some(text) if text.form == Form::Number => {
                    let finding = Finding::error("unquoted", text.place, "this value needs quotes");
                    self.report(finding.help(format!("FROM \"{}\";", text.value)));
                    self.placeholder(word)
                }
                Some(text) => text,
                None => {
                    self.missing("FROM", word);
                    self.placeholder(word)
                }
            },
        };
        let name = self.name(cursor);
        Some(Body::From(Named { text, name }))
    }

    fn placeholder(&mut self, word: &Ident) -> Text {
        let place = self.sources.span(word.span());
        Text { value: String::new(), form: Form::Expression, place }
    }

    fn one(&mut self, cursor: &mut Cursor, keyword: &'static str, word: &Ident) -> Option<Text> {
        if matches!(cursor.peek(0), Some(TokenTree::Ident(next)) if is_keyword(next)) {
            self.missing(keyword, word);
            return None;
        }
        let value = self.value(cursor, keyword);
        if value.is_none() {
            self.missing(keyword, word);
        }
        value
    }

    fn args(&mut self, cursor: &mut Cursor, word: &Ident) -> Option<Body> {
        let mut args = Vec::new();
        while let Some(name) = self.key(cursor, false) {
            let default = if cursor.is_punct(0, '=') && !cursor.is_pair(0, '=', '>') {
                let equals = cursor.next();
                let value = self.value(cursor, "ARG");
                if value.is_none() {
                    self.error("missing_argument", &equals, "`=` needs a value").help =
                        Some("ARG VERSION = \"1.0\";".to_owned());
                }
                value
            } else {
                None
            };
            args.push((name, default));
        }
        if args.is_empty() { self.missing("ARG", word) } else { Some(Body::Arg(args)) }
    }

    fn pairs(&mut self, cursor: &mut Cursor, keyword: &'static str, word: &Ident) -> Option<Vec<(Text, Text)>> {
        let start = cursor.position();
        let mut pairs = Vec::new();
        while let Some(key) = self.key(cursor, keyword == "LABEL") {
            if !cursor.is_punct(0, '=') {
                let place = key.place;
                let example = grammar::argument(keyword).1;
                let message = format!("`{keyword}` needs a value for `{}`", key.value);
                self.report(
                    Finding::error("missing_argument", place, message)
                        .help(format!("`=` stands before the value: {example}")),
                );
                // `ENV A "x"`: the value is there, only the `=` is not.
                if let Some(TokenTree::Literal(_)) = cursor.peek(0) {
                    cursor.next();
                }
                continue;
            }
            let equals = cursor.next();
            match self.value(cursor, keyword) {
                Some(value) => pairs.push((key, value)),
                None => {
                    self.error("missing_argument", &equals, "`=` needs a value").help =
                        Some(grammar::argument(keyword).1.to_owned());
                }
            }
        }
        if pairs.is_empty() && cursor.position() == start {
            self.missing(keyword, word);
        }
        (!pairs.is_empty()).then_some(pairs)
    }

    /// The name of a variable or the key of a label; nothing where the next instruction begins.
    fn key(&mut self, cursor: &mut Cursor, dotted: bool) -> Option<Text> {
        match cursor.peek(0).cloned()? {
            TokenTree::Ident(first) => {
                // `ENV USER = "x"` names a variable like an instruction; without `=` it is one.
                if is_keyword(&first) && !cursor.is_punct(1, '=') {
                    return None;
                }
                let (mut text, Extent { first: span, .. }) = cursor.dashed_word()?;
                while dotted && cursor.is_punct(0, '.') {
                    cursor.next();
                    text.push('.');
                    match cursor.peek(0).cloned() {
                        Some(TokenTree::Ident(_)) => text.push_str(&cursor.dashed_word()?.0),
                        Some(TokenTree::Literal(number)) => {
                            cursor.next();
                            text.push_str(&number.to_string());
                        }
                        _ => break,
                    }
                }
                let place = self.sources.add(cursor.extent_from(span), literal(&text, span), None);
                Some(Text { value: text, form: Form::Bare, place })
            }
            TokenTree::Literal(_) => {
                let text = self.value(cursor, "")?;
                if !dotted && text.form == Form::Quoted && text.known().is_some_and(variables::is_name) {
                    let finding =
                        Finding::error("bad_env_name", text.place, "a variable name is written without quotes");
                    self.report(finding.help(text.value.clone()));
                }
                Some(text)
            }
            _ => None,
        }
    }

    fn command(&mut self, cursor: &mut Cursor, keyword: &'static str, word: &Ident) -> Option<Command> {
        if let Some(TokenTree::Group(group)) = cursor.peek(0).cloned()
            && group.delimiter() == Delimiter::Bracket
        {
            cursor.next();
            return Some(Command::Exec(self.array(&group, keyword)));
        }
        let mut scripts = vec![self.one(cursor, keyword, word)?];
        while cursor.is_pair(0, '&', '&') {
            let operator: Vec<_> = cursor.take(2);
            match self.value(cursor, keyword) {
                Some(script) => scripts.push(script),
                None => {
                    self.error("missing_argument", &operator[0], "nothing follows `&&`").help =
                        Some("add a command, or remove the `&&`".to_owned());
                }
            }
        }
        Some(Command::Shell(scripts))
    }

    fn transfer(&mut self, cursor: &mut Cursor, keyword: &'static str, word: &Ident) -> Option<Transfer> {
        let mut sources = Vec::new();
        let mut inline = Vec::new();
        loop {
            if cursor.is_pair(0, '<', '<') {
                let operator = cursor.take(2);
                match self.value(cursor, keyword) {
                    Some(text) => inline.push(Inline { text, name: None, expands: false }),
                    None => {
                        self.error("missing_argument", &operator[0], "`<<` needs the content").help =
                            Some(format!("{keyword} << \"text\\n\" => \"/file\";"));
                    }
                }
                continue;
            }
            if matches!(cursor.peek(0), Some(TokenTree::Ident(next)) if is_keyword(next)) {
                break;
            }
            match self.value(cursor, keyword) {
                Some(text) => sources.push(text),
                None => break,
            }
        }
        if sources.is_empty() && inline.is_empty() {
            self.missing(keyword, word);
            if cursor.is_pair(0, '=', '>') {
                cursor.take(2);
                self.value(cursor, keyword);
            }
            return None;
        }
        if inline.len() + sources.len() > 1
            && let Some(Inline { text, .. }) = inline.first()
        {
            let finding = Finding::error("wrong_count", text.place, "inline content is copied alone");
            self.report(finding.help(format!("one `{keyword} << …` for each file")));
            return None;
        }
        if !cursor.is_pair(0, '=', '>') {
            let span = source::end(cursor.last_span());
            let place = self.sources.span(span);
            // `COPY "a" "/b";` has all it needs but the arrow.
            let help = match &sources[..] {
                [from @ .., to] if !from.is_empty() && inline.is_empty() => {
                    let from: Vec<String> = from.iter().map(|text| format!("\"{}\"", text.value)).collect();
                    format!("{keyword} {} => \"{}\";", from.join(" "), to.value)
                }
                [only] => format!("{keyword} \"{}\" => \"/destination\";", only.value),
                _ => grammar::argument(keyword).1.to_owned(),
            };
            let message = format!("`{keyword}` needs a destination");
            self.report(Finding::error("no_destination", place, message).help(help));
            return None;
        }
        let arrow = cursor.take(2);
        let Some(destination) = self.value(cursor, keyword) else {
            let message = format!("`{keyword}` needs a destination");
            self.error("no_destination", &arrow[0], message).help = Some(grammar::argument(keyword).1.to_owned());
            return None;
        };
        Some(Transfer { sources, inline, destination })
    }

    fn ports(&mut self, cursor: &mut Cursor, word: &Ident) -> Option<Body> {
        let mut ports = Vec::new();
        loop {
            let text = match cursor.peek(0).cloned() {
                Some(TokenTree::Literal(_)) => self.port(cursor)?,
                Some(TokenTree::Group(_)) => self.value(cursor, "EXPOSE")?,
                Some(TokenTree::Ident(name)) if !is_keyword(&name) && name != "as" => {
                    cursor.next();
                    self.error("port_text", &name, "ports are numbers").help = Some("EXPOSE 80;".to_owned());
                    self.placeholder(&name)
                }
                _ => break,
            };
            let name = self.name(cursor);
            ports.push(Named { text, name });
        }
        if ports.is_empty() { self.missing("EXPOSE", word) } else { Some(Body::Expose(ports)) }
    }

    /// `8080`, `53/udp`, `8000-8010`.
    fn port(&mut self, cursor: &mut Cursor) -> Option<Text> {
        let Some(TokenTree::Literal(number)) = cursor.next() else { return None };
        let span = number.span();
        let mut cursor_of_one = Cursor::new(number.to_token_stream());
        let mut text = self.value(&mut cursor_of_one, "EXPOSE")?;
        if text.form != Form::Number {
            return Some(text);
        }
        while cursor.is_punct(0, '-') || cursor.is_punct(0, ':') {
            let Some(TokenTree::Literal(more)) = cursor.peek(1).cloned() else { break };
            text.value.push_str(&format!("{}{more}", if cursor.is_punct(0, '-') { '-' } else { ':' }));
            cursor.take(2);
        }
        if cursor.is_punct(0, '/') {
            let slash = cursor.next();
            match cursor.peek(0).cloned() {
                Some(TokenTree::Ident(protocol)) => {
                    cursor.next();
                    let place = self.sources.span(protocol.span());
                    match port::protocol(&unraw(&protocol)) {
                        Ok(protocol) => text.value.push_str(&format!("/{protocol}")),
                        Err(problem) => self.report(Finding::of(problem, place)),
                    }
                }
                _ => {
                    self.error("bad_protocol", &slash, "`/` needs a protocol").help = Some("`tcp` or `udp`".to_owned());
                }
            }
        }
        text.place = self.sources.add(cursor.extent_from(span), literal(&text.value, span), None);
        Some(text)
    }

    fn volumes(&mut self, cursor: &mut Cursor, word: &Ident) -> Option<Body> {
        let mut volumes = Vec::new();
        loop {
            if let Some(TokenTree::Group(group)) = cursor.peek(0).cloned()
                && group.delimiter() == Delimiter::Bracket
            {
                cursor.next();
                volumes.extend(self.array(&group, "VOLUME").into_iter().map(|text| Named { text, name: None }));
                continue;
            }
            if is_end(cursor) || matches!(cursor.peek(0), Some(TokenTree::Ident(next)) if is_keyword(next)) {
                break;
            }
            let Some(text) = self.value(cursor, "VOLUME") else { break };
            let name = self.name(cursor);
            volumes.push(Named { text, name });
        }
        if volumes.is_empty() { self.missing("VOLUME", word) } else { Some(Body::Volume(volumes)) }
    }

    fn health_check(&mut self, cursor: &mut Cursor, word: &Ident) -> Option<Body> {
        if cursor.is_ident(0, "NONE") {
            cursor.next();
            return Some(Body::HealthCheck(None));
        }
        if cursor.is_ident(0, "CMD") {
            cursor.next();
            return self.command(cursor, "HEALTHCHECK", word).map(|command| Body::HealthCheck(Some(command)));
        }
        self.missing("HEALTHCHECK", word);
        cursor.skip_before_semicolon();
        None
    }

    fn shell(&mut self, cursor: &mut Cursor, word: &Ident) -> Option<Body> {
        if let Some(TokenTree::Group(group)) = cursor.peek(0).cloned()
            && group.delimiter() == Delimiter::Bracket
        {
            cursor.next();
            return Some(Body::Shell(self.array(&group, "SHELL")));
        }
        self.error("shell_array", word, "`SHELL` takes an array").help = Some(grammar::argument("SHELL").1.to_owned());
        cursor.skip_before_semicolon();
        None
    }
}

fn literal(value: &str, span: proc_macro2::Span) -> proc_macro2::TokenStream {
    let mut literal = Literal::string(value);
    literal.set_span(span);
    literal.to_token_stream()
}
