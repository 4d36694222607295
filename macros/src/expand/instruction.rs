//! One instruction as a call of the builder, or as a value for `ONBUILD`.

use plywood_syntax::ast::{
    self, Body, Command, Flag, FlagValue, Form, Inline, Instruction, Named, Origin, Text, Transfer,
};
use plywood_syntax::checks::mount_key;
use plywood_syntax::{duration, port};
use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};

use super::{span_of, string};
use crate::parse::{Definition, Header};

pub(super) struct Expander<'a> {
    pub(super) definition: &'a Definition,
    pub(super) header: Option<&'a Header>,
}

impl Expander<'_> {
    /// `.run("…")`, with the span of the keyword, so that hovering shows the method and errors name the line.
    pub(super) fn call(&self, instruction: &Instruction) -> TokenStream {
        let span = span_of(self.definition, instruction);
        let call = |name: &str, arguments: TokenStream| method(span, name, arguments);
        match &instruction.body {
            Body::From(Named { text, name }) => {
                let mut out = call("from", self.base(text));
                if let Some(platform) = instruction.flag_text("platform") {
                    out.extend(call("platform", self.value(platform)));
                }
                if let Some(name) = name {
                    out.extend(call("stage", string(&name.value, self.span(name))));
                }
                out
            }
            Body::Run(command) => call("run", self.run(instruction, command, instruction.flags.is_empty())),
            Body::Copy(transfer) | Body::Add(transfer)
                if instruction.flags.is_empty() && transfer.inline.is_empty() =>
            {
                let sources = self.one_or_more(&transfer.sources);
                let destination = self.value(&transfer.destination);
                call(method_name(instruction), quote!(#sources, #destination))
            }
            Body::Copy(transfer) | Body::Add(transfer) => call("instruction", self.transfer(instruction, transfer)),
            Body::HealthCheck(command) => call("health_check", self.health_check(instruction, command.as_ref())),
            Body::OnBuild(inner) => call("on_build", self.instruction(inner)),
            Body::Arg(args) => {
                let mut out = TokenStream::new();
                for (name, default) in args {
                    let (method, arguments) = self.arg(name, default.as_ref());
                    out.extend(call(method, arguments));
                }
                out
            }
            _ => {
                let (name, arguments) = self.simple(instruction);
                call(name, arguments)
            }
        }
    }

    /// The instruction as a value.
    fn instruction(&self, instruction: &Instruction) -> TokenStream {
        match &instruction.body {
            Body::Run(command) => self.run(instruction, command, false),
            Body::Copy(transfer) | Body::Add(transfer) => self.transfer(instruction, transfer),
            Body::HealthCheck(command) => self.health_check(instruction, command.as_ref()),
            Body::Arg(args) => {
                // `ONBUILD ARG` with several names was reported.
                let Some((name, default)) = args.first() else { return TokenStream::new() };
                let (method, arguments) = self.arg(name, default.as_ref());
                let method = Ident::new(method, Span::call_site());
                quote!(::plywood::image::Instruction::#method(#arguments))
            }
            Body::From(_) | Body::OnBuild(_) => TokenStream::new(),
            _ => {
                let (name, arguments) = self.simple(instruction);
                let name = Ident::new(name, span_of(self.definition, instruction));
                quote!(::plywood::image::Instruction::#name(#arguments))
            }
        }
    }

    fn arg(&self, name: &Text, default: Option<&Text>) -> (&'static str, TokenStream) {
        let name = self.value(name);
        match default {
            Some(default) => {
                let default = self.value(default);
                ("arg", quote!(#name, #default))
            }
            None => ("arg_required", name),
        }
    }

    /// The method and its arguments, for instructions without flags.
    fn simple(&self, instruction: &Instruction) -> (&'static str, TokenStream) {
        let name = method_name(instruction);
        match &instruction.body {
            Body::Env(pairs) | Body::Label(pairs) => match &pairs[..] {
                [(key, value)] => {
                    let (key, value) = (self.value(key), self.value(value));
                    (name, quote!(#key, #value))
                }
                pairs => {
                    let keys_are = pairs.iter().all(|(key, _)| is_literal(key));
                    let values_are = pairs.iter().all(|(_, value)| is_literal(value));
                    let pairs = pairs.iter().map(|(key, value)| {
                        let (key, value) = (self.element(key, keys_are), self.element(value, values_are));
                        quote!((#key, #value))
                    });
                    (if name == "env" { "envs" } else { "labels" }, quote!([#(#pairs),*]))
                }
            },
            Body::Workdir(text) | Body::User(text) | Body::StopSignal(text) => (name, self.value(text)),
            Body::Expose(ports) => (name, self.ports(ports)),
            Body::Volume(paths) => (name, self.volumes(paths)),
            Body::Cmd(command) | Body::Entrypoint(command) => (name, self.command(command)),
            Body::Shell(words) => (name, self.list(words)),
            _ => (name, TokenStream::new()),
        }
    }

    fn base(&self, base: &Text) -> TokenStream {
        let stages = ast::stages(&self.definition.instructions).map(|name| name.value.as_str());
        let tokens = self.tokens(base);
        match ast::origin(base, stages) {
            Origin::Scratch => quote!(::plywood::Base::scratch()),
            Origin::Stage | Origin::StageNumber => self.stage_constant(base).unwrap_or_else(|| {
                let name = string(&base.value, self.span(base));
                quote!(::plywood::Base::stage(#name))
            }),
            Origin::Image => string(&base.value, self.span(base)),
            // A constant or static is a value, and so is the name of a unit struct in capitals.
            Origin::Type if is_constant(&base.value) => quote!(::plywood::Base::definition(&#tokens)),
            Origin::Type => quote!(::plywood::Base::declared::<#tokens>()),
            Origin::Value | Origin::Unknown => tokens,
        }
    }

    /// `Web::build`, where the declared type has it: editors go from there to where the stage begins.
    fn stage_constant(&self, name: &Text) -> Option<TokenStream> {
        let is_word = name.form == Form::Bare;
        let owner = &self.header.filter(|_| is_word)?.name;
        let name = self.tokens(name);
        Some(quote!(#owner::#name))
    }

    /// `.from_stage("build")` or another method for the same.
    fn copy_from(&self, from: &Text, span: Span) -> TokenStream {
        let stages = ast::stages(&self.definition.instructions).map(|name| name.value.as_str());
        match ast::origin(from, stages) {
            Origin::Stage if self.stage_constant(from).is_some() => method(span, "from", self.base(from)),
            Origin::Stage | Origin::StageNumber => method(span, "from_stage", string(&from.value, self.span(from))),
            Origin::Image => method(span, "from_image", string(&from.value, self.span(from))),
            _ => method(span, "from", self.base(from)),
        }
    }

    /// A `Run`, or where `short` what converts into one.
    fn run(&self, instruction: &Instruction, command: &Command, short: bool) -> TokenStream {
        let mut run = match command {
            Command::Shell(scripts) => match &scripts[..] {
                [script] if short && is_literal(script) => return self.value(script),
                [script] => {
                    let script = self.value(script);
                    quote!(::plywood::image::Run::shell(#script))
                }
                scripts => {
                    let scripts = self.list(scripts);
                    quote!(::plywood::image::Run::all(#scripts))
                }
            },
            Command::Exec(args) => {
                let args = self.list(args);
                if short {
                    return args;
                }
                quote!(::plywood::image::Run::exec(#args))
            }
        };
        for Flag { name, value } in &instruction.flags {
            let span = self.span(name);
            run.extend(match value {
                FlagValue::Options(options) => method(span, "mount", self.mount(options, span)),
                FlagValue::One(text) => method(span, &name.value, self.value(text)),
                FlagValue::None => TokenStream::new(),
            });
        }
        run
    }

    fn mount(&self, options: &[(Text, Option<Text>)], span: Span) -> TokenStream {
        let get = |wanted: &str| {
            options.iter().find(|(key, _)| mount_key(&key.value) == wanted).and_then(|(_, value)| value.as_ref())
        };
        let kind = get("type").map_or("bind", |kind| kind.value.as_str());
        let first = if kind == "secret" { "id" } else { "target" };
        let constructor = Ident::new(kind, get("type").map_or(span, |kind| self.span(kind)));
        let mut mount = match (kind, get(first)) {
            ("ssh", _) => quote!(::plywood::image::RunMount::ssh()),
            (_, Some(value)) => {
                let value = self.value(value);
                quote!(::plywood::image::RunMount::#constructor(#value))
            }
            _ => {
                let kind = if kind == "secret" { quote!(Secret) } else { quote!(Bind) };
                quote!(::plywood::image::RunMount::new(::plywood::image::MountKind::#kind))
            }
        };
        for (key, value) in options {
            let span = self.span(key);
            let name = mount_key(&key.value);
            let on = value.as_ref().is_none_or(|value| value.value == "true");
            mount.extend(match (name, value) {
                ("type", _) => continue,
                (name, Some(_)) if name == first && kind != "ssh" => continue,
                ("from", Some(from)) => self.copy_from(from, span),
                ("required", _) if on => method(span, "required", TokenStream::new()),
                ("required", _) => continue,
                ("ro" | "readonly", _) => method(span, if on { "read_only" } else { "writable" }, TokenStream::new()),
                ("rw" | "readwrite", _) => method(span, if on { "writable" } else { "read_only" }, TokenStream::new()),
                (name, Some(value)) => method(span, name, self.value(value)),
                (_, None) => continue,
            });
        }
        mount
    }

    fn transfer(&self, instruction: &Instruction, transfer: &Transfer) -> TokenStream {
        let destination = self.value(&transfer.destination);
        // Hovering over the keyword shows the type, whose documentation is that of the instruction.
        let name = if matches!(instruction.body, Body::Add(_)) { "Add" } else { "Copy" };
        let kind = Ident::new(name, span_of(self.definition, instruction));
        let mut out = match &transfer.inline[..] {
            // A file alone: its name is in the destination.
            [Inline { text, name: None, expands }] => {
                let text = self.value(text);
                let constructor = if *expands { quote!(template) } else { quote!(inline) };
                quote!(::plywood::image::#kind::#constructor(#text).to(#destination))
            }
            contents => {
                let sources = self.one_or_more(&transfer.sources);
                let mut out = quote!(::plywood::image::#kind::of(#sources).to(#destination));
                for Inline { text, name, expands } in contents {
                    let (text, name) = (self.value(text), name.as_ref().map_or("", |name| &name.value));
                    let method = if *expands { quote!(and_template) } else { quote!(and_inline) };
                    out.extend(quote!(.#method(#name, #text)));
                }
                out
            }
        };
        if let Some((_, files)) = self.definition.embedded.iter().find(|(place, _)| *place == instruction.place) {
            out.extend(quote!(.embedded(#files)));
        }
        for Flag { name, value } in &instruction.flags {
            let span = self.span(name);
            let on = instruction.is_set(&name.value);
            out.extend(match (name.value.as_str(), value) {
                ("from", FlagValue::One(from)) => self.copy_from(from, span),
                ("link" | "parents", _) if on => method(span, &name.value, TokenStream::new()),
                ("keep-git-dir", _) if on => method(span, "keep_git_dir", TokenStream::new()),
                ("unpack", _) => method(span, if on { "unpack" } else { "no_unpack" }, TokenStream::new()),
                ("link" | "parents" | "keep-git-dir" | "embed", _) => continue,
                (name, FlagValue::One(text)) => method(span, name, self.value(text)),
                _ => continue,
            });
        }
        out
    }

    fn health_check(&self, instruction: &Instruction, command: Option<&Command>) -> TokenStream {
        let Some(command) = command else { return quote!(::plywood::image::HealthCheck::none()) };
        let command = self.command(command);
        let mut out = quote!(::plywood::image::HealthCheck::cmd(#command));
        for Flag { name, value } in &instruction.flags {
            let FlagValue::One(text) = value else { continue };
            let argument = match text.known() {
                // A time or a number that is no literal is of the type that the method takes.
                None => self.tokens(text),
                Some(value) if name.value == "retries" => value
                    .parse()
                    .map_or_else(|_| TokenStream::new(), |n: u32| Literal::u32_unsuffixed(n).to_token_stream()),
                Some(value) => {
                    let time = duration::parse(value).unwrap_or_default();
                    match time.subsec_nanos() {
                        0 => {
                            let seconds = Literal::u64_unsuffixed(time.as_secs());
                            quote!(::core::time::Duration::from_secs(#seconds))
                        }
                        _ => {
                            let nanoseconds =
                                Literal::u64_unsuffixed(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
                            quote!(::core::time::Duration::from_nanos(#nanoseconds))
                        }
                    }
                }
            };
            out.extend(method(self.span(name), &name.value.replace("-", "_"), argument));
        }
        out
    }

    fn command(&self, command: &Command) -> TokenStream {
        match command {
            Command::Exec(args) => self.list(args),
            Command::Shell(scripts) => match &scripts[..] {
                [script] if is_literal(script) => self.value(script),
                [script] => {
                    let script = self.value(script);
                    quote!(::plywood::image::Command::shell(#script))
                }
                scripts => {
                    let scripts = self.list(scripts);
                    quote!(::plywood::image::Command::all(#scripts))
                }
            },
        }
    }

    fn ports(&self, ports: &[Named]) -> TokenStream {
        let port = |named: &Named| match (&named.name, self.header) {
            (Some(name), Some(header)) => {
                let (owner, name) = (&header.name, self.tokens(name));
                quote!(#owner::#name)
            }
            _ if named.text.form == Form::Expression => self.tokens(&named.text),
            _ => match port::parse(&named.text.value) {
                Ok(port) if port.first == port.last && port.protocol == "tcp" => {
                    let mut number = Literal::u16_unsuffixed(port.first);
                    number.set_span(self.span(&named.text));
                    number.to_token_stream()
                }
                _ => self.value(&named.text),
            },
        };
        match ports {
            [one] => port(one),
            ports => {
                let ports = ports.iter().map(|named| {
                    let port = port(named);
                    quote!(::plywood::image::ExposedPorts::from(#port))
                });
                quote!([#(#ports),*])
            }
        }
    }

    fn volumes(&self, paths: &[Named]) -> TokenStream {
        let path = |named: &Named| match (&named.name, self.header) {
            (Some(name), Some(header)) => {
                let (owner, name) = (&header.name, self.tokens(name));
                quote!(#owner::#name)
            }
            _ if named.text.form == Form::Expression => {
                let text = self.value(&named.text);
                quote!(::std::string::ToString::to_string(#text))
            }
            _ => self.value(&named.text),
        };
        match paths {
            [one] => path(one),
            paths => {
                let paths = paths.iter().map(|named| {
                    let path = path(named);
                    quote!(::plywood::image::VolumePaths::from(#path))
                });
                quote!([#(#paths),*])
            }
        }
    }

    /// One value alone, several as an array.
    fn one_or_more(&self, texts: &[Text]) -> TokenStream {
        match texts {
            [one] if is_literal(one) => self.value(one),
            texts => self.list(texts),
        }
    }

    /// An array: of string literals, or of strings where an expression is among them.
    fn list(&self, texts: &[Text]) -> TokenStream {
        if texts.is_empty() {
            return quote!([""; 0]);
        }
        let one_type = texts.iter().all(is_literal);
        let elements = texts.iter().map(|text| self.element(text, one_type));
        quote!([#(#elements),*])
    }

    fn element(&self, text: &Text, one_type: bool) -> TokenStream {
        let value = self.value(text);
        if one_type { value } else { quote!(::std::string::ToString::to_string(#value)) }
    }

    /// A value as an argument that can be displayed.
    fn value(&self, text: &Text) -> TokenStream {
        if text.form != Form::Expression {
            return string(&text.value, self.span(text));
        }
        let tokens = self.tokens(text);
        // The group has the span of the braces, so that an error about the type points there.
        let statements = tokens.clone().into_iter().any(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == ';'));
        let delimiter = if statements { Delimiter::Brace } else { Delimiter::Parenthesis };
        let mut group = Group::new(delimiter, tokens);
        group.set_span(self.span(text));
        quote!(&#group)
    }

    fn tokens(&self, text: &Text) -> TokenStream {
        self.definition.sources.get(text.place).map_or_else(TokenStream::new, |piece| piece.tokens.clone())
    }

    fn span(&self, text: &Text) -> Span {
        self.definition.sources.span_of(text.place)
    }
}

fn is_literal(text: &Text) -> bool {
    text.form != Form::Expression
}

/// Whether a path names a constant or a static.
fn is_constant(path: &str) -> bool {
    let last = path.rsplit(':').next().unwrap_or(path);
    last.len() > 1 && !last.contains(char::is_lowercase)
}

fn method_name(instruction: &Instruction) -> &'static str {
    match instruction.keyword() {
        "COPY" => "copy",
        "ADD" => "add",
        "ENV" => "env",
        "LABEL" => "label",
        "WORKDIR" => "workdir",
        "USER" => "user",
        "EXPOSE" => "expose",
        "VOLUME" => "volume",
        "CMD" => "cmd",
        "ENTRYPOINT" => "entrypoint",
        "STOPSIGNAL" => "stop_signal",
        "SHELL" => "shell",
        _ => "instruction",
    }
}

/// `.name(arguments)`, all of it at one span.
fn method(span: Span, name: &str, arguments: TokenStream) -> TokenStream {
    let mut dot = Punct::new('.', Spacing::Alone);
    dot.set_span(span);
    let mut group = Group::new(Delimiter::Parenthesis, arguments);
    group.set_span(span);
    TokenStream::from_iter([TokenTree::from(dot), Ident::new(name, span).into(), group.into()])
}
