//! A definition as it was written, before anything is known to be right.
//!
//! The macro, the Dockerfile reader and the builder all produce this form, and the checks read it.

use crate::finding::Place;

/// How a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Quoted,
    /// A single word without quotes.
    Bare,
    /// The name of a stage, where it can be nothing else.
    Stage,
    /// The number of an earlier stage, which only a Dockerfile has.
    StageNumber,
    /// A number, perhaps with a unit: `8080`, `0755`, `5s`.
    Number,
    /// A Rust path of several words.
    Path,
    /// A Rust expression: its value is known only when the image is built.
    Expression,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Text {
    /// The value; for an expression or a path, how it was written.
    pub value: String,
    /// How it was written.
    pub form: Form,
    /// Where it stands.
    pub place: Place,
}

impl Text {
    /// A string at a place.
    pub fn quoted(value: impl Into<String>, place: Place) -> Self {
        Self { value: value.into(), form: Form::Quoted, place }
    }

    /// A bare word at a place.
    pub fn bare(value: impl Into<String>, place: Place) -> Self {
        Self { value: value.into(), form: Form::Bare, place }
    }

    /// The value, where it is known before the image is built. Variables are not expanded.
    pub fn known(&self) -> Option<&str> {
        (!matches!(self.form, Form::Expression | Form::Path)).then_some(&self.value)
    }

    /// The value, where it is known and has no variables.
    pub fn plain(&self) -> Option<&str> {
        self.known().filter(|value| !value.contains('$'))
    }
}

/// One instruction.
#[derive(Debug)]
pub struct Instruction {
    /// Where its keyword stands.
    pub place: Place,
    /// Its flags, in order.
    pub flags: Vec<Flag>,
    /// What follows the flags.
    pub body: Body,
}

/// A flag of an instruction, such as `--from=build`.
#[derive(Debug)]
pub struct Flag {
    /// Its name, without the dashes.
    pub name: Text,
    /// What follows `=`.
    pub value: FlagValue,
}

/// The value of a flag.
#[derive(Debug)]
pub enum FlagValue {
    /// None was given.
    None,
    /// One value.
    One(Text),
    /// Keys and values, separated by commas.
    Options(Vec<(Text, Option<Text>)>),
}

/// A command in one of its two forms.
#[derive(Debug)]
pub enum Command {
    /// Scripts, joined with `&&` where there are several.
    Shell(Vec<Text>),
    /// A program and its arguments.
    Exec(Vec<Text>),
}

/// What `COPY` and `ADD` move.
#[derive(Debug)]
pub struct Transfer {
    /// The sources.
    pub sources: Vec<Text>,
    /// Content given in place.
    pub inline: Vec<Inline>,
    /// Where to.
    pub destination: Text,
}

/// The content of a file, given in place.
#[derive(Debug)]
pub struct Inline {
    /// The content.
    pub text: Text,
    /// The file's name where the destination is a directory.
    pub name: Option<Text>,
    /// Whether variables in it are expanded.
    pub expands: bool,
}

/// A value and the Rust name that was given to it.
#[derive(Debug)]
pub struct Named {
    /// The value.
    pub text: Text,
    /// The name after `as`.
    pub name: Option<Text>,
}

/// What an instruction says.
#[derive(Debug)]
pub enum Body {
    /// `FROM`: an image (quoted), a stage, `scratch` or a type (bare or path), or a base value (expression).
    From(Named),
    /// `ARG`: names and defaults.
    Arg(Vec<(Text, Option<Text>)>),
    /// `ENV`: names and values.
    Env(Vec<(Text, Text)>),
    /// `LABEL`: keys and values.
    Label(Vec<(Text, Text)>),
    /// `RUN`.
    Run(Command),
    /// `COPY`.
    Copy(Transfer),
    /// `ADD`.
    Add(Transfer),
    /// `WORKDIR`.
    Workdir(Text),
    /// `USER`.
    User(Text),
    /// `EXPOSE`: ports such as `53/udp`.
    Expose(Vec<Named>),
    /// `VOLUME`: paths.
    Volume(Vec<Named>),
    /// `CMD`.
    Cmd(Command),
    /// `ENTRYPOINT`.
    Entrypoint(Command),
    /// `HEALTHCHECK`: a command, or `NONE`.
    HealthCheck(Option<Command>),
    /// `STOPSIGNAL`.
    StopSignal(Text),
    /// `SHELL`.
    Shell(Vec<Text>),
    /// `ONBUILD`.
    OnBuild(Box<Instruction>),
}

impl Instruction {
    /// The keyword.
    pub fn keyword(&self) -> &'static str {
        match self.body {
            Body::From(_) => "FROM",
            Body::Arg(_) => "ARG",
            Body::Env(_) => "ENV",
            Body::Label(_) => "LABEL",
            Body::Run(_) => "RUN",
            Body::Copy(_) => "COPY",
            Body::Add(_) => "ADD",
            Body::Workdir(_) => "WORKDIR",
            Body::User(_) => "USER",
            Body::Expose(_) => "EXPOSE",
            Body::Volume(_) => "VOLUME",
            Body::Cmd(_) => "CMD",
            Body::Entrypoint(_) => "ENTRYPOINT",
            Body::HealthCheck(_) => "HEALTHCHECK",
            Body::StopSignal(_) => "STOPSIGNAL",
            Body::Shell(_) => "SHELL",
            Body::OnBuild(_) => "ONBUILD",
        }
    }

    /// Whether `as` gives something in it this name.
    pub fn names(&self, wanted: &str) -> bool {
        let named = match &self.body {
            Body::From(named) => std::slice::from_ref(named),
            Body::Expose(named) | Body::Volume(named) => named,
            _ => return false,
        };
        named.iter().any(|named| named.name.as_ref().is_some_and(|name| name.value == wanted))
    }

    /// The first flag of this name.
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.name.value == name)
    }

    /// The value of the first flag of this name.
    pub fn flag_text(&self, name: &str) -> Option<&Text> {
        match &self.flag(name)?.value {
            FlagValue::One(text) => Some(text),
            _ => None,
        }
    }

    /// Whether a source is read from the build context; not so for `--from`, nor for a flag that may have been meant as it.
    pub fn is_from_context(&self) -> bool {
        let known = |flag: &Flag| crate::grammar::takes(self.keyword(), &flag.name.value).is_some();
        self.flag("from").is_none() && self.flags.iter().all(known)
    }

    /// Whether a flag without a value, or with `true`, is given.
    pub fn is_set(&self, name: &str) -> bool {
        self.flag(name).is_some_and(|flag| match &flag.value {
            FlagValue::One(text) => text.value.eq_ignore_ascii_case("true"),
            _ => true,
        })
    }
}

/// What a word after `FROM` or `--from=` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The empty image.
    Scratch,
    /// An image in the store.
    Image,
    /// A stage of this definition, wherever it stands.
    Stage,
    /// A stage of this definition by its number.
    StageNumber,
    /// A Rust type.
    Type,
    /// A Rust value.
    Value,
    /// A bare word that is none of these.
    Unknown,
}

/// Tells what a base is, given the names of all stages.
pub fn origin<'a>(base: &Text, stages: impl IntoIterator<Item = &'a str>) -> Origin {
    let is_stage = stages.into_iter().any(|stage| stage == base.value);
    match base.form {
        Form::Quoted if base.value == "scratch" => Origin::Scratch,
        Form::Quoted | Form::Number => Origin::Image,
        Form::Path => Origin::Type,
        Form::StageNumber => Origin::StageNumber,
        Form::Expression => Origin::Value,
        Form::Bare if base.value == "scratch" => Origin::Scratch,
        Form::Bare | Form::Stage if is_stage => Origin::Stage,
        // Rust types begin with a capital, and so do statics.
        Form::Bare if base.value.starts_with(char::is_uppercase) => Origin::Type,
        Form::Bare | Form::Stage => Origin::Unknown,
    }
}

/// The stages of a definition by name.
pub fn stages(instructions: &[Instruction]) -> impl Iterator<Item = &Text> {
    instructions.iter().filter_map(|instruction| match &instruction.body {
        Body::From(Named { name: Some(name), .. }) => Some(name),
        _ => None,
    })
}
