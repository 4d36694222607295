//! A definition as a Dockerfile.
//!
//! What a Dockerfile cannot say stands in comments that begin with `# plywood:`, and in their place the file has
//! something that a Docker build reads. Values with special characters are quoted so that they read back as they are.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter, Write as _};
use std::time::Duration;

use plywood_syntax::dockerfile;

use super::notes::{ELSEWHERE, LIBRARY, LINE_BREAKS, MARK, write_image};
use super::{Add, Base, Command, Copy, CopySource, From, HealthCheck, Instruction, Layers, Run, RunMount};

/// Stands for a line break in a value until it is known which character may; no character that text has.
const LINE_BREAK: &str = "\u{fdd0}";
/// What stands for it in the file: the first that the instruction does not have.
const MARKS: [&str; 4] = ["␤", "⏎", "↵", "¶"];

impl Display for Layers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut stages: Vec<&str> = Vec::new();
        for (index, instruction) in self.instructions.iter().enumerate() {
            // A blank line before each stage but one that opens the file.
            if index > 0 && matches!(instruction, Instruction::From(_)) {
                f.write_char('\n')?;
            }
            // An image that is called like a stage, or like its number, has its full name.
            let is_homonym = |name: &str| {
                let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
                is_number || stages.iter().any(|stage| name.eq_ignore_ascii_case(stage))
            };
            let mut shown = Cow::Borrowed(instruction);
            if instruction.bases().into_iter().any(|base| matches!(base, Base::Image(name) if is_homonym(name))) {
                for base in shown.to_mut().bases_mut() {
                    if let Base::Image(name) = base
                        && is_homonym(name)
                    {
                        write_image(f, name)?;
                        name.insert_str(0, LIBRARY);
                    }
                }
            }
            writeln!(f, "{shown}")?;
            if let Instruction::From(from) = instruction {
                stages.push(from.stage().unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// Comments for what a Dockerfile has no words for, then the instruction.
impl Display for Instruction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_notes(f)?;
        let text = Body(self).to_string();
        if !text.contains(LINE_BREAK) {
            return f.write_str(&text);
        }
        let mark = MARKS.into_iter().find(|mark| !text.contains(mark)).unwrap_or("\u{fdd1}");
        writeln!(f, "{MARK}{LINE_BREAKS}{mark}")?;
        f.write_str(&text.replace(LINE_BREAK, mark))
    }
}

/// Whether a script on the line of its instruction means itself.
pub(super) fn reads_as_it_stands(script: &str) -> bool {
    !script.is_empty()
        && script.trim() == script
        && !script.contains(['\n', '\r'])
        && !script.starts_with(['[', '-'])
        && !script.starts_with("#!")
        && !script.ends_with('\\')
        && !script.contains("<<")
}

/// An instruction without its comments.
struct Body<'a>(&'a Instruction);

impl Display for Body<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use Instruction as I;
        match self.0 {
            I::From(from) => write!(f, "{from}"),
            I::Arg(arg) => match arg.default() {
                Some(default) => write!(f, "ARG {}={}", arg.name(), Word(default)),
                None => write!(f, "ARG {}", arg.name()),
            },
            I::Run(run) => write!(f, "{run}"),
            I::Copy(copy) => write!(f, "{copy}"),
            I::Add(add) => write!(f, "{add}"),
            I::Env(pairs) => write_pairs(f, "ENV", pairs),
            I::Label(pairs) => write_pairs(f, "LABEL", pairs),
            I::Workdir(path) => write!(f, "WORKDIR {}", Word(path)),
            I::User(user) => write!(f, "USER {}", Word(user)),
            I::Expose(ports) => {
                f.write_str("EXPOSE")?;
                ports
                    .iter()
                    .try_for_each(|port| write!(f, " {}", dockerfile::bare(port.strip_suffix("/tcp").unwrap_or(port))))
            }
            I::Volume(paths) => write!(f, "VOLUME {}", Paths(paths)),
            I::Entrypoint(command) => write!(f, "ENTRYPOINT {command}"),
            I::Cmd(command) => write!(f, "CMD {command}"),
            I::Shell(shell) => write!(f, "SHELL {}", Json(shell)),
            I::StopSignal(signal) => write!(f, "STOPSIGNAL {}", Word(signal)),
            I::HealthCheck(check) => write!(f, "{check}"),
            I::OnBuild(instruction) => write!(f, "ONBUILD {}", Body(instruction)),
        }
    }
}

impl Display for From {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("FROM ")?;
        if let Some(platform) = self.platform() {
            write!(f, "--platform={} ", Word(platform))?;
        }
        f.write_str(&dockerfile::bare(base_word(self.base(), "scratch")))?;
        if let Some(stage) = self.stage() {
            write!(f, " AS {stage}")?;
        }
        Ok(())
    }
}

/// What stands for a base in a Dockerfile; with a comment before it where that is not the whole truth. `other` stands
/// for what a Dockerfile cannot name.
fn base_word<'a>(base: &'a Base, other: &'a str) -> &'a str {
    match base {
        Base::Scratch => "scratch",
        Base::Host(_) | Base::Definition(_) => other,
        Base::Image(name) | Base::Stage(name) => name,
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(script) if reads_as_it_stands(script) => f.write_str(script),
            // Near enough for another reader; the comment before it has the script itself.
            Self::Shell(script) => {
                write!(f, "{{ {}; }}", script.trim().trim_end_matches('\\').replace(['\n', '\r'], "; "))
            }
            Self::Exec(args) => write!(f, "{}", Json(args)),
        }
    }
}

impl Display for Run {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("RUN ")?;
        for mount in self.mounts() {
            write!(f, "--mount={mount} ")?;
        }
        if let Some(network) = self.network_mode() {
            write!(f, "--network={} ", Word(network))?;
        }
        if let Some(security) = self.security_mode() {
            write!(f, "--security={} ", Word(security))?;
        }
        match self.as_command() {
            Command::Shell(script) if !reads_as_it_stands(script) => {
                // A script is what stands before the last line break.
                let end = delimiter(script, "EOF");
                write!(f, "<<\"{end}\"\n{script}\n{end}")
            }
            command => write!(f, "{command}"),
        }
    }
}

impl Display for RunMount {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "type={}", self.kind().as_str())?;
        if let Some(base) = self.base() {
            write!(f, ",from={}", base_word(base, ELSEWHERE))?;
        }
        self.options().try_for_each(|(key, value)| write!(f, ",{key}={}", MountValue(value)))
    }
}

/// The value of a mount's key, which a comma or space would end.
struct MountValue<'a>(&'a str);

impl Display for MountValue<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.contains(|c: char| c.is_whitespace() || ",\"'".contains(c)) {
            true => f.write_str(&dockerfile::quoted_word(self.0).replace('\n', LINE_BREAK)),
            false => f.write_str(&dockerfile::bare(self.0).replace('\n', LINE_BREAK)),
        }
    }
}

impl Display for Copy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("COPY")?;
        write_copy(f, self)
    }
}

impl Display for Add {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ADD")?;
        if let Some(checksum) = self.expected_checksum() {
            write!(f, " --checksum={}", Word(checksum))?;
        }
        if self.keeps_git_dir() {
            f.write_str(" --keep-git-dir")?;
        }
        if let Some(unpack) = self.unpacks() {
            write!(f, " --unpack={unpack}")?;
        }
        write_copy(f, self.as_copy())
    }
}

fn write_copy(f: &mut Formatter<'_>, copy: &Copy) -> fmt::Result {
    if let Some(base) = copy.base() {
        write!(f, " --from={}", base_word(base, ELSEWHERE))?;
    }
    if let Some(owner) = copy.owner() {
        write!(f, " --chown={}", Word(owner))?;
    }
    if let Some(mode) = copy.mode() {
        write!(f, " --chmod={}", Word(mode))?;
    }
    if copy.is_link() {
        f.write_str(" --link")?;
    }
    if copy.keeps_parents() {
        f.write_str(" --parents")?;
    }
    for pattern in copy.excluded() {
        write!(f, " --exclude={}", Word(pattern))?;
    }
    let paths = copy.words();
    let is_odd = paths.iter().any(|path| is_odd(path));
    if is_odd && !copy.has_content() {
        return write!(f, " {}", Paths(&paths));
    }
    let (destination, sources) = paths.split_last().map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
    // Near enough for another reader; the comment before it has the paths themselves.
    let word = |path: &str| if is_odd { stand_in(path) } else { dockerfile::bare(path) };
    sources.iter().try_for_each(|path| write!(f, " {}", word(path)))?;
    let contents = copy.contents();
    for Content { end, expands, .. } in &contents {
        // A quoted delimiter: nothing in the text is expanded.
        let quote = if *expands { "" } else { "\"" };
        write!(f, " <<{quote}{end}{quote}")?;
    }
    write!(f, " {}", word(destination))?;
    for Content { end, text, expands, .. } in &contents {
        // Of what is expanded, a dollar that stands for itself keeps its backslash.
        let text = if *expands { text.replace(ESCAPED_DOLLAR, "\\$") } else { (*text).to_owned() };
        let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        write!(f, "\n{text}{line_end}{end}")?;
    }
    Ok(())
}

/// A dollar that stands for itself in what is expanded.
const ESCAPED_DOLLAR: &str = "\\\\\\$";

/// A content as the file has it.
pub(super) struct Content<'a> {
    end: String,
    pub(super) name: Option<&'a str>,
    pub(super) text: &'a str,
    expands: bool,
    /// Whether it reads back to what it is, but for the end of its last line.
    pub(super) is_itself: bool,
}

impl Copy {
    /// Its paths and patterns, and the destination after them.
    pub(super) fn words(&self) -> Vec<String> {
        let paths = self.sources().iter().filter_map(|source| match source {
            CopySource::Path(path) => Some(path.as_str()),
            CopySource::Inline { .. } => None,
        });
        paths.chain([self.destination()]).map(str::to_owned).collect()
    }

    /// Its contents; the delimiter of each is the name, where it can be.
    pub(super) fn contents(&self) -> Vec<Content<'_>> {
        let contents = self.sources().iter().filter_map(|source| match source {
            CopySource::Inline { name, text, expands } => Some((name.as_deref(), text.as_str(), *expands)),
            CopySource::Path(_) => None,
        });
        // A file alone has its name from the destination.
        let is_alone = self.sources().len() == 1 && !plywood_syntax::path::is_directory(self.destination());
        let contents = contents.map(|(name, text, expands)| {
            let is_word = |name: &&str| {
                let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                name.chars().all(plain) && !name.is_empty() && !name.starts_with('-')
            };
            let end = delimiter(text, name.filter(is_word).unwrap_or("EOF"));
            let is_named = if is_alone { name.is_none() } else { name == Some(&end) };
            let is_odd = text.contains('\r') || expands && text.replace(ESCAPED_DOLLAR, "").contains('\\');
            Content { end, name, text, expands, is_itself: is_named && !is_odd }
        });
        contents.collect()
    }

    pub(super) fn has_content(&self) -> bool {
        self.sources().iter().any(|source| matches!(source, CopySource::Inline { .. }))
    }
}

/// Whether a path is no word of its own on the line of a `COPY`.
pub(super) fn is_odd(path: &str) -> bool {
    path.is_empty() || path.contains(char::is_whitespace) || path.starts_with(['[', '<', '-'])
}

/// A word like a path that is none.
fn stand_in(path: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "/._-".contains(c) { c } else { '_' };
    let word: String = path.chars().map(plain).collect();
    if word.is_empty() || word.starts_with('-') { format!("_{word}") } else { word }
}

/// A delimiter that is no line of the text.
fn delimiter(text: &str, wanted: &str) -> String {
    let mut end = wanted.to_owned();
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    end
}

impl Display for HealthCheck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("HEALTHCHECK ")?;
        let times = [
            ("interval", self.interval_time()),
            ("timeout", self.timeout_time()),
            ("start-period", self.start_period_time()),
            ("start-interval", self.start_interval_time()),
        ];
        for (name, time) in times.into_iter().filter_map(|(name, time)| Some((name, time?))) {
            write!(f, "--{name}={} ", Span(time))?;
        }
        if let Some(retries) = self.retry_count() {
            write!(f, "--retries={retries} ")?;
        }
        match self.command() {
            Some(command) => write!(f, "CMD {command}"),
            None => f.write_str("NONE"),
        }
    }
}

/// A time as a Dockerfile has it: `1m30s`, `500ms`.
struct Span(Duration);

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&plywood_syntax::duration::format(self.0))
    }
}

fn write_pairs(f: &mut Formatter<'_>, keyword: &str, pairs: &[(String, String)]) -> fmt::Result {
    f.write_str(keyword)?;
    pairs.iter().try_for_each(|(key, value)| write!(f, " {}={}", Word(key), Word(value)))
}

/// A value, quoted where it needs to be.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&dockerfile::word(self.0).replace('\n', LINE_BREAK))
    }
}

/// Paths, as JSON; the quotes of a word are read off them too.
struct Paths<'a>(&'a [String]);

impl Display for Paths<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.0.iter().map(|path| dockerfile::bare(path)).collect();
        write!(f, "{}", Json(&paths))
    }
}

/// An array of strings as JSON.
pub(super) struct Json<'a>(pub(super) &'a [String]);

impl Display for Json<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (index, value) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_char('"')?;
            for c in value.chars() {
                match c {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\t' => f.write_str("\\t")?,
                    '\r' => f.write_str("\\r")?,
                    c if (c as u32) < 0x20 => write!(f, "\\u{:04x}", c as u32)?,
                    c => f.write_char(c)?,
                }
            }
            f.write_char('"')?;
        }
        f.write_char(']')
    }
}
