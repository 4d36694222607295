//! A definition as a Dockerfile.
//!
//! What a Dockerfile cannot say stands in comments that begin with `# plywood:`, and in their place the file has
//! something that a Docker build reads. Values with special characters are quoted so that they read back as they are.

use std::fmt::{self, Display, Formatter, Write as _};
use std::time::Duration;

use super::{Add, Base, Command, Copy, CopySource, From, HealthCheck, Instruction, Layers, Run, RunMount};

impl Display for Layers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, instruction) in self.instructions.iter().enumerate() {
            // A blank line before each stage but one that opens the file.
            if index > 0 && matches!(instruction, Instruction::From(_)) {
                f.write_char('\n')?;
            }
            writeln!(f, "{instruction}")?;
        }
        Ok(())
    }
}

impl Display for Instruction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(from) => write!(f, "{from}"),
            Self::Arg(arg) => match arg.default() {
                Some(default) => write!(f, "ARG {}={}", arg.name(), Word(default)),
                None => write!(f, "ARG {}", arg.name()),
            },
            Self::Run(run) => write!(f, "{run}"),
            Self::Copy(copy) => write!(f, "{copy}"),
            Self::Add(add) => write!(f, "{add}"),
            Self::Env(pairs) => write_pairs(f, "ENV", pairs),
            Self::Label(pairs) => write_pairs(f, "LABEL", pairs),
            Self::Workdir(path) => write!(f, "WORKDIR {path}"),
            Self::User(user) => write!(f, "USER {user}"),
            Self::Expose(ports) => {
                f.write_str("EXPOSE")?;
                ports.iter().try_for_each(|port| write!(f, " {}", port.strip_suffix("/tcp").unwrap_or(port)))
            }
            Self::Volume(paths) => write!(f, "VOLUME {}", Json(paths)),
            Self::Entrypoint(command) => write!(f, "ENTRYPOINT {command}"),
            Self::Cmd(command) => write!(f, "CMD {command}"),
            Self::Shell(shell) => write!(f, "SHELL {}", Json(shell)),
            Self::StopSignal(signal) => write!(f, "STOPSIGNAL {signal}"),
            Self::HealthCheck(check) => write!(f, "{check}"),
            Self::OnBuild(instruction) => write!(f, "ONBUILD {instruction}"),
        }
    }
}

impl Display for From {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_base_comment(f, self.base())?;
        f.write_str("FROM ")?;
        if let Some(platform) = self.platform() {
            write!(f, "--platform={platform} ")?;
        }
        f.write_str(base_word(self.base()))?;
        if let Some(stage) = self.stage() {
            write!(f, " AS {stage}")?;
        }
        Ok(())
    }
}

/// What stands for a base in a Dockerfile; with a comment before it where that is not the whole truth.
fn base_word(base: &Base) -> &str {
    match base {
        Base::Scratch | Base::Host(_) | Base::Definition(_) => "scratch",
        Base::Image(name) | Base::Stage(name) => name,
    }
}

fn write_base_comment(f: &mut Formatter<'_>, base: &Base) -> fmt::Result {
    match base {
        Base::Host(programs) => writeln!(f, "# plywood: host {}", Json(programs)),
        Base::Definition(layers) => {
            writeln!(f, "# plywood: definition")?;
            layers.to_string().lines().try_for_each(|line| writeln!(f, "# plywood: | {line}"))
        }
        _ => Ok(()),
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            // A line break would end the instruction; an escaped one is read as no character at all.
            Self::Shell(script) => f.write_str(&script.replace('\n', "\\\n")),
            Self::Exec(args) => write!(f, "{}", Json(args)),
        }
    }
}

impl Display for Run {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for base in self.mounts().iter().filter_map(RunMount::base) {
            write_base_comment(f, base)?;
        }
        f.write_str("RUN ")?;
        for mount in self.mounts() {
            write!(f, "--mount={mount} ")?;
        }
        if let Some(network) = self.network_mode() {
            write!(f, "--network={network} ")?;
        }
        if let Some(security) = self.security_mode() {
            write!(f, "--security={security} ")?;
        }
        match self.as_command() {
            Command::Shell(script) if script.contains('\n') => write_heredoc(f, script, ""),
            command => write!(f, "{command}"),
        }
    }
}

impl Display for RunMount {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "type={}", self.kind().as_str())?;
        if let Some(base) = self.base() {
            write!(f, ",from={}", base_word(base))?;
        }
        self.options().try_for_each(|(key, value)| match value.contains([',', '"', ' ']) {
            true => write!(f, ",\"{key}={}\"", value.replace('"', "\"\"")),
            false => write!(f, ",{key}={value}"),
        })
    }
}

impl Display for Copy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(base) = self.base() {
            write_base_comment(f, base)?;
        }
        f.write_str("COPY")?;
        write_copy(f, self)
    }
}

impl Display for Add {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ADD")?;
        if let Some(checksum) = self.expected_checksum() {
            write!(f, " --checksum={checksum}")?;
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
        write!(f, " --from={}", base_word(base))?;
    }
    if let Some(owner) = copy.owner() {
        write!(f, " --chown={owner}")?;
    }
    if let Some(mode) = copy.mode() {
        write!(f, " --chmod={mode}")?;
    }
    if copy.is_link() {
        f.write_str(" --link")?;
    }
    if copy.keeps_parents() {
        f.write_str(" --parents")?;
    }
    for pattern in copy.excluded() {
        write!(f, " --exclude={pattern}")?;
    }
    let mut texts = Vec::new();
    let mut words = Vec::new();
    for source in copy.sources() {
        match source {
            CopySource::Path(path) => words.push(path.clone()),
            CopySource::Inline { name, text } => texts.push((name.as_deref(), text.as_str())),
        }
    }
    if let [(_, text)] = texts[..]
        && words.is_empty()
    {
        f.write_char(' ')?;
        return write_heredoc(f, text, copy.destination());
    }
    words.push(copy.destination().to_owned());
    match words
        .iter()
        .any(|word| word.is_empty() || word.contains([' ', '\t', '"', '\'', '\\']) || word.starts_with('['))
    {
        true if texts.is_empty() => write!(f, " {}", Json(&words)),
        _ => {
            let destination = words.pop().unwrap_or_default();
            words.iter().try_for_each(|word| write!(f, " {word}"))?;
            for (name, text) in &texts {
                write!(f, " <<\"{}\"", delimiter(text, name.unwrap_or("EOF")))?;
            }
            write!(f, " {destination}")?;
            for (name, text) in &texts {
                write!(f, "\n{text}{}{}", line_end(text), delimiter(text, name.unwrap_or("EOF")))?;
            }
            Ok(())
        }
    }
}

/// Writes a here-document whose delimiter is quoted, so that nothing in it is expanded.
fn write_heredoc(f: &mut Formatter<'_>, text: &str, destination: &str) -> fmt::Result {
    let end = delimiter(text, "EOF");
    if destination.is_empty() {
        // A script is what stands before the last line break.
        return write!(f, "<<\"{end}\"\n{text}\n{end}");
    }
    write!(f, "<<\"{end}\" {destination}\n{text}{}{end}", line_end(text))?;
    match text.ends_with('\n') {
        true => Ok(()),
        false => f.write_str("\n# plywood: the text above ends without a line break"),
    }
}

fn line_end(text: &str) -> &'static str {
    if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }
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

/// A word of an `ENV`, `ARG` or `LABEL`, quoted where it needs to be.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:,@%+${}".contains(&byte);
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        let mut rest = self.0;
        while let Some(c) = rest.chars().next() {
            let slashes = rest.len() - rest.trim_start_matches('\\').len();
            if slashes > 0 {
                // Backslashes before a dollar already escape; all others stand for themselves.
                let doubled = !rest[slashes..].starts_with('$');
                f.write_str(&"\\".repeat(if doubled { 2 * slashes } else { slashes }))?;
                rest = &rest[slashes..];
                if !doubled {
                    f.write_char('$')?;
                    rest = &rest[1..];
                }
                continue;
            }
            match c {
                '"' => f.write_str("\\\"")?,
                // There is no escape for a line break in a Dockerfile word; inside quotes it stands as it is.
                c => f.write_char(c)?,
            }
            rest = &rest[c.len_utf8()..];
        }
        f.write_char('"')
    }
}

/// An array of strings as JSON.
struct Json<'a>(&'a [String]);

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
