//! One instruction: keyword, flags and body.

use std::ops::Range;

use super::lines::Line;
use super::mapped::Mapped;
use super::{json, words};
use crate::ast::{Body, Command, Flag, FlagValue, Form, Inline, Instruction, Named, Text, Transfer};
use crate::finding::{Finding, Place};
use crate::grammar::{self, KEYWORDS, Takes};
use crate::{path, shell, suggest};

/// The first place: one that the macro, which has places of its own, never has.
pub(super) const FIRST_PLACE: u32 = 1 << 31;

/// Turns lines into instructions and remembers where everything stood.
pub(super) struct Reader {
    escape: char,
    pub(super) findings: Vec<Finding>,
    pub(super) places: Vec<Vec<usize>>,
    /// The names of the stages so far, in lower case.
    pub(super) stages: Vec<String>,
    /// How many stages there are so far.
    begun: usize,
}

impl Reader {
    pub(super) fn new(escape: char) -> Self {
        Self { escape, findings: Vec::new(), places: Vec::new(), stages: Vec::new(), begun: 0 }
    }

    pub(super) fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn place(&mut self, text: &Mapped) -> Place {
        self.add(text.clone().into_offsets())
    }

    /// A place of bytes that are no value.
    pub(super) fn place_of(&mut self, range: Range<usize>) -> Place {
        self.add(vec![range.start, range.end])
    }

    fn add(&mut self, offsets: Vec<usize>) -> Place {
        let place = u32::try_from(self.places.len()).map_or(u32::MAX, |index| FIRST_PLACE.saturating_add(index));
        self.places.push(offsets);
        Place(place)
    }

    /// A value as it stands.
    fn text(&mut self, text: &Mapped) -> Text {
        let place = self.place(text);
        Text::quoted(text.text.clone(), place)
    }

    /// A value without its quotes and escapes.
    fn value(&mut self, written: &Mapped) -> Text {
        match words::unquote(written, self.escape) {
            Ok(value) => self.text(&value),
            Err(problem) => {
                let text = self.text(written);
                self.report(Finding::of(problem, text.place));
                Text { form: Form::Expression, ..text }
            }
        }
    }

    pub(super) fn instruction(&mut self, line: &Line) -> Option<Instruction> {
        for heredoc in line.heredocs.iter().filter(|heredoc| !heredoc.is_closed) {
            let place = self.place(&line.text);
            let message = format!("shell: here-document is never closed: no line holds just `{}`", heredoc.name);
            self.report(Finding::error("shell_syntax", place, message).at(heredoc.at..heredoc.at + 2));
        }
        self.whole(&line.text, line)
    }

    fn whole(&mut self, text: &Mapped, line: &Line) -> Option<Instruction> {
        let end = text.text.find(char::is_whitespace).unwrap_or(text.text.len());
        let word = text.slice(0..end);
        let place = self.place(&word);
        let upper = word.text.to_ascii_uppercase();
        let keyword = match KEYWORDS.into_iter().find(|keyword| *keyword == upper) {
            Some(keyword) => keyword,
            None => {
                self.unknown(&word.text, &upper, place);
                suggest::nearest(&upper, KEYWORDS)?
            }
        };
        let mut rest = text.slice(end..text.text.len()).trim();
        let flags = self.flags(keyword, &mut rest);
        let body = self.body(keyword, place, &rest, line);
        if body.is_none() && !self.findings.iter().any(|finding| finding.place >= place) {
            let (argument, example) = grammar::argument(keyword);
            let example = in_a_dockerfile(example);
            let message = format!("`{keyword}` needs {argument}");
            self.report(Finding::error("missing_argument", place, message).help(example));
        }
        Some(Instruction { place, flags, body: body? })
    }

    /// A mistyped word is read as the instruction that was probably meant, so that its absence is no second mistake.
    fn unknown(&mut self, word: &str, upper: &str, place: Place) {
        let finding = grammar::unknown_instruction(upper, place);
        self.report(match finding.name {
            "maintainer" => Finding { help: Some("LABEL org.opencontainers.image.authors=\"…\"".into()), ..finding },
            _ => Finding { message: format!("unknown instruction `{word}`"), ..finding },
        });
    }

    fn flags(&mut self, keyword: &'static str, rest: &mut Mapped) -> Vec<Flag> {
        let mut flags = Vec::new();
        while rest.text.starts_with("--") {
            let word = words::quoted(&rest.text, self.escape).into_iter().next().unwrap_or(0..rest.text.len());
            let flag = rest.slice(2..word.end);
            *rest = rest.slice(word.end..rest.text.len()).trim();
            if flag.is_empty() {
                break;
            }
            let equals = flag.text.find('=');
            let name = flag.slice(0..equals.unwrap_or(flag.text.len()));
            let name = Text { form: Form::Bare, ..self.text(&name) };
            // Only a program can embed files.
            if name.value == "embed" {
                let message = format!("`{keyword}` has no flag `--embed` in a Dockerfile");
                let help = format!("layers! {{ … {keyword} --embed \"app.py\" => \"/app/\"; }}");
                self.report(Finding::error("unknown_flag", name.place, message).help(help));
                continue;
            }
            let value = match (equals, grammar::takes(keyword, &name.value)) {
                (None, _) => FlagValue::None,
                (Some(at), Some(Takes::Options)) => self.options(&flag.slice(at + 1..flag.text.len())),
                (Some(at), _) => {
                    let text = self.value(&flag.slice(at + 1..flag.text.len()));
                    FlagValue::One(if name.value == "from" { self.origin(text) } else { text })
                }
            };
            flags.push(Flag { name, value });
        }
        flags
    }

    /// Keys and values separated by commas outside quotes.
    fn options(&mut self, text: &Mapped) -> FlagValue {
        let mut options = Vec::new();
        let mut quote = None;
        let mut escaped = false;
        let mut start = 0;
        for (at, c) in text.text.char_indices().chain([(text.text.len(), ',')]) {
            match (c, quote) {
                _ if std::mem::take(&mut escaped) => continue,
                (c, None | Some('"')) if c == self.escape => escaped = true,
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                _ => {}
            }
            if at < text.text.len() && (c != ',' || quote.is_some()) {
                continue;
            }
            let option = self.value(&text.slice(start.min(at)..at));
            let (key, value) = match option.value.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (option.value.clone(), None),
            };
            let offsets = self.places.last().cloned().unwrap_or_default();
            let from = (key.len() + 1).min(offsets.len());
            let key = Text::bare(key, option.place);
            let value = value.map(|value| {
                let text = Text::quoted(value, self.add(offsets[from..].to_vec()));
                if key.value == "from" { self.origin(text) } else { text }
            });
            options.push((key, value));
            start = at + 1;
        }
        FlagValue::Options(options)
    }

    /// A word that may name a stage.
    fn origin(&self, text: Text) -> Text {
        let value = text.value.to_ascii_lowercase();
        let number = value.parse::<usize>().is_ok_and(|index| index < self.begun);
        if self.stages.contains(&value) {
            Text { value, form: Form::Stage, ..text }
        } else if number {
            // A stage by its number: right, and known to the build only.
            Text { value, form: Form::StageNumber, ..text }
        } else {
            text
        }
    }

    fn body(&mut self, keyword: &str, place: Place, rest: &Mapped, line: &Line) -> Option<Body> {
        if rest.is_empty() {
            return None;
        }
        Some(match keyword {
            "FROM" => return self.from(rest),
            "ARG" => Body::Arg(self.args(rest)),
            "ENV" => Body::Env(self.pairs(keyword, rest)?),
            "LABEL" => Body::Label(self.pairs(keyword, rest)?),
            "RUN" => Body::Run(self.run(rest, line)?),
            "COPY" => Body::Copy(self.transfer(keyword, rest, line)?),
            "ADD" => Body::Add(self.transfer(keyword, rest, line)?),
            "WORKDIR" => Body::Workdir(self.value(rest)),
            "USER" => Body::User(self.value(rest)),
            "STOPSIGNAL" => Body::StopSignal(self.value(rest)),
            "EXPOSE" => {
                let ports = words::plain(&rest.text);
                let port = |range| Text { form: Form::Number, ..self.value(&rest.slice(range)) };
                Body::Expose(ports.into_iter().map(port).map(|text| Named { text, name: None }).collect())
            }
            "VOLUME" => {
                let paths = json::array(rest).unwrap_or_else(|| slices(rest, words::plain(&rest.text)));
                Body::Volume(paths.iter().map(|path| Named { text: self.value(path), name: None }).collect())
            }
            "CMD" => Body::Cmd(self.command(rest)),
            "ENTRYPOINT" => Body::Entrypoint(self.command(rest)),
            "SHELL" => match json::array(rest) {
                Some(shell) => Body::Shell(self.texts(&shell)),
                None => {
                    let finding = Finding::error("shell_array", place, "`SHELL` takes an array");
                    self.report(finding.help(in_a_dockerfile(grammar::argument("SHELL").1)));
                    return None;
                }
            },
            "HEALTHCHECK" => return self.health_check(rest),
            _ => Body::OnBuild(Box::new(self.trigger(rest, line)?)),
        })
    }

    /// What `ONBUILD` has. One in another is refused here, so that a thousand of them are no thousand levels.
    fn trigger(&mut self, rest: &Mapped, line: &Line) -> Option<Instruction> {
        let word = rest.text.split_whitespace().next().unwrap_or_default();
        if !word.eq_ignore_ascii_case("ONBUILD") {
            return self.whole(rest, line);
        }
        let place = self.place(rest);
        self.report(Finding::error("bad_onbuild", place, "`ONBUILD ONBUILD` cannot be").at(0..word.len()));
        None
    }

    fn texts(&mut self, values: &[Mapped]) -> Vec<Text> {
        values.iter().map(|value| self.text(value)).collect()
    }

    fn from(&mut self, rest: &Mapped) -> Option<Body> {
        let words = slices(rest, words::plain(&rest.text));
        let base = self.value(&words[0]);
        let text = self.origin(base);
        // Only a name means a stage here.
        let text = if text.form == Form::StageNumber { Text { form: Form::Quoted, ..text } } else { text };
        let name = match &words[1..] {
            [] => None,
            [word, name] if word.text.eq_ignore_ascii_case("as") => {
                let name = self.text(name);
                Some(Text { value: name.value.to_ascii_lowercase(), form: Form::Bare, ..name })
            }
            [other, ..] => {
                let place = self.place(other);
                let message = format!("unexpected `{}` after this `FROM`", other.text);
                self.report(Finding::error("wrong_count", place, message).help("FROM image AS name"));
                None
            }
        };
        self.begun += 1;
        self.stages.extend(name.iter().map(|name| name.value.clone()));
        Some(Body::From(Named { text, name }))
    }

    fn args(&mut self, rest: &Mapped) -> Vec<(Text, Option<Text>)> {
        let words = slices(rest, words::quoted(&rest.text, self.escape));
        let arg = |word: &Mapped| match word.text.find('=') {
            Some(at) => {
                let name = Text { form: Form::Bare, ..self.value(&word.slice(0..at)) };
                (name, Some(self.value(&word.slice(at + 1..word.text.len()))))
            }
            None => (Text { form: Form::Bare, ..self.value(word) }, None),
        };
        words.iter().map(arg).collect()
    }

    /// `a=b c=d`, or the old form `a some text`.
    fn pairs(&mut self, keyword: &str, rest: &Mapped) -> Option<Vec<(Text, Text)>> {
        let words = slices(rest, words::quoted(&rest.text, self.escape));
        let first = words.first()?;
        if !first.text.contains('=') {
            let value = rest.slice(first.text.len()..rest.text.len()).trim();
            let key = Text { form: Form::Bare, ..self.value(first) };
            if value.is_empty() {
                let message = format!("`{keyword}` needs a value for `{}`", key.value);
                self.report(
                    Finding::error("missing_argument", key.place, message).help(format!("{keyword} {}=…", key.value)),
                );
                return None;
            }
            let message = format!("`{keyword}` without `=` is an old form that takes one name only");
            let help = format!("{keyword} {}={}", key.value, words::word(&value.text));
            self.report(Finding::warning("legacy_key_value", key.place, message).help(help));
            return Some(vec![(key, self.value(&value))]);
        }
        let mut pairs = Vec::new();
        for word in &words {
            let Some(at) = word.text.find('=') else {
                let place = self.place(word);
                let message = format!("`{}` needs `=` and a value", word.text);
                let help = "quote a value that has spaces in it";
                self.report(Finding::error("missing_argument", place, message).help(help));
                continue;
            };
            let key = Text { form: Form::Bare, ..self.value(&word.slice(0..at)) };
            pairs.push((key, self.value(&word.slice(at + 1..word.text.len()))));
        }
        Some(pairs)
    }

    fn command(&mut self, rest: &Mapped) -> Command {
        match json::array(rest) {
            Some(args) => Command::Exec(self.texts(&args)),
            None => Command::Shell(vec![self.text(rest)]),
        }
    }

    fn run(&mut self, rest: &Mapped, line: &Line) -> Option<Command> {
        let [first, ..] = &line.heredocs[..] else { return Some(self.command(&for_the_shell(rest))) };
        let alone = line.heredocs.len() == 1 && rest.text.starts_with("<<") && !rest.text.contains(char::is_whitespace);
        if alone {
            // A script is what stands before the last line break.
            let body = &first.body;
            let script = body.slice(0..body.text.strip_suffix('\n').unwrap_or(&body.text).len());
            return Some(Command::Shell(vec![self.text(&script)]));
        }
        let mut script = for_the_shell(rest);
        let mut at = script.offset(script.text.len());
        for heredoc in &line.heredocs {
            script.push('\n', at);
            for (index, c) in heredoc.raw.text.char_indices() {
                script.push(c, heredoc.raw.offset(index));
            }
            at = heredoc.raw.offset(heredoc.raw.text.len());
        }
        Some(Command::Shell(vec![self.text(&script)]))
    }

    fn transfer(&mut self, keyword: &str, rest: &Mapped, line: &Line) -> Option<Transfer> {
        let mut words = json::array(rest).unwrap_or_else(|| slices(rest, words::plain(&rest.text)));
        let destination = words.pop()?;
        if words.is_empty() {
            let text = self.text(&destination);
            let message = format!("`{keyword}` needs a destination");
            let help = format!("{keyword} {} /destination", text.value);
            self.report(Finding::error("no_destination", text.place, message).help(help));
            return None;
        }
        let mut heredocs = line.heredocs.iter();
        let mut transfer = Transfer { sources: Vec::new(), inline: Vec::new(), destination: self.text(&destination) };
        for word in &words {
            match heredocs.as_slice().first().filter(|_| word.text.starts_with("<<")) {
                Some(heredoc) => {
                    heredocs.next();
                    let name = self.text(word);
                    let name = Text { value: heredoc.name.clone(), ..name };
                    let text = self.content(&heredoc.body, heredoc.expands);
                    transfer.inline.push(Inline { text, name: Some(name), expands: heredoc.expands });
                }
                None => transfer.sources.push(self.value(word)),
            }
        }
        // After the sources, so that places are in the order of the file.
        transfer.destination = self.value(&destination);
        // A file alone has its name from the destination.
        if let ([], [one]) = (&transfer.sources[..], &mut transfer.inline[..])
            && !path::is_directory(&transfer.destination.value)
        {
            one.name = None;
        }
        Some(transfer)
    }

    /// The content of a file. Where variables are expanded, a backslash before a dollar stays, and so does the dollar.
    fn content(&mut self, body: &Mapped, expands: bool) -> Text {
        if !expands || !body.text.contains(self.escape) {
            return self.text(body);
        }
        let mut out = Mapped::at(body.offset(0));
        let mut chars = body.text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if c == self.escape && next == Some('$') {
                let slashes = out.text.len() - out.text.trim_end_matches('\\').len();
                (0..slashes).for_each(|_| out.push('\\', body.offset(at)));
                (0..if c == '\\' { 3 } else { 0 }).for_each(|_| out.push('\\', body.offset(at)));
                if c != '\\' {
                    out.push(c, body.offset(at));
                    out.push('\\', body.offset(at));
                }
                continue;
            }
            out.push(c, body.offset(at));
        }
        self.text(&out)
    }

    fn health_check(&mut self, rest: &Mapped) -> Option<Body> {
        let word = words::plain(&rest.text).into_iter().next()?;
        let (kind, command) = (rest.slice(word.clone()), rest.slice(word.end..rest.text.len()).trim());
        match kind.text.to_ascii_uppercase().as_str() {
            "NONE" if command.is_empty() => Some(Body::HealthCheck(None)),
            "CMD" if !command.is_empty() => Some(Body::HealthCheck(Some(self.command(&command)))),
            other => {
                let place = self.place(&kind);
                let message = match other {
                    "NONE" => "`HEALTHCHECK NONE` takes no arguments".to_owned(),
                    "CMD" => "`HEALTHCHECK CMD` needs a command".to_owned(),
                    _ => format!("`HEALTHCHECK` takes `CMD` or `NONE`, found `{}`", kind.text),
                };
                self.report(Finding::error("missing_argument", place, message).help("HEALTHCHECK CMD [\"check\"]"));
                None
            }
        }
    }
}

/// What stands on the line of a `RUN`. `#!` begins a comment there, which it stays behind a space: only a here-document
/// is a program of its own.
fn for_the_shell(rest: &Mapped) -> Mapped {
    if shell::interpreter(&rest.text).is_none() {
        return rest.clone();
    }
    let mut comment = Mapped::at(rest.offset(0));
    comment.push(' ', rest.offset(0));
    rest.text.char_indices().for_each(|(at, c)| comment.push(c, rest.offset(at)));
    comment
}

fn slices(text: &Mapped, ranges: Vec<Range<usize>>) -> Vec<Mapped> {
    ranges.into_iter().map(|range| text.slice(range)).collect()
}

/// A finding whose help speaks of `layers!`, as it is for a Dockerfile.
pub(super) fn for_dockerfiles(finding: Finding) -> Finding {
    let help = match (finding.name, finding.help) {
        ("outside_context", _) => {
            Some("build with a directory above it as the context, or copy it into this one".into())
        }
        ("before_from", _) => Some("begin with `FROM debian:12` (only `ARG` may come first)".into()),
        ("no_from", _) => Some("FROM debian:12, or FROM scratch".into()),
        (_, Some(help)) if help.ends_with(';') => Some(in_a_dockerfile(&help)),
        (_, help) => help,
    };
    Finding { help, ..finding }
}

/// An example of `layers!`, as a Dockerfile has it.
fn in_a_dockerfile(example: &str) -> String {
    let example = example.trim_end_matches(';').replace(" = ", "=").replace(" => ", " ");
    if example.contains('[') { example } else { example.replace("\"", "") }
}
