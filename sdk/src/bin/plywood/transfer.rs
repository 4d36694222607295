//! `import`, `load` and `save`: images in and out.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use plywood::image::{Format, ImportOptions, LoadOptions, Progress, Source, Target};
use plywood::{Platform, Reference};
use serde_json::json;

use crate::args::{Archive, Import, Load, Save};
use crate::failure::{Failure, Outcome};
use crate::{Session, human};

pub fn import(session: &Session, import: &Import) -> Outcome<()> {
    let engine = session.engine()?;
    let mut options = ImportOptions::new();
    if let Some(reference) = &import.reference {
        options = options.reference(reference);
    }
    if let Some(message) = &import.message {
        options = options.comment(message);
    }
    if let Some(platform) = &import.platform {
        options = options.platform(Platform::parse(platform)?);
    }
    if import.overwrite {
        options = options.overwrite();
    }
    for change in &import.change {
        options = options.change(change);
    }
    let meter = Meter::new("Importing", import.quiet);
    if meter.is_wanted() {
        options = options.progress(meter.listener());
    }
    let source = source(Some(&import.file))?;
    let imported = engine.import_with(source, &options);
    meter.clear();
    let image = imported?;
    session.output.line_or(image.id(), &json!({ "ID": image.id(), "References": familiar(image.references()) }))
}

pub fn load(session: &Session, load: &Load) -> Outcome<()> {
    let engine = session.engine()?;
    let mut options = LoadOptions::new();
    if let Some(platform) = &load.platform {
        options = options.platform(Platform::parse(platform)?);
    }
    if load.overwrite {
        options = options.overwrite();
    }
    let meter = Meter::new("Loading", load.quiet);
    if meter.is_wanted() {
        options = options.progress(meter.listener());
    }
    let names: Vec<&str> = load.from_docker.iter().map(String::as_str).collect();
    let source = match names.is_empty() {
        true => source(load.input.as_deref().or(load.file.as_deref()))?,
        false => Source::docker(&names)?,
    };
    let loaded = engine.load_with(source, &options);
    meter.clear();
    let loaded = loaded?;
    if session.output.is_json() {
        let images = loaded
            .iter()
            .map(|loaded| json!({ "ID": loaded.image().id(), "References": familiar(loaded.references()) }));
        return session.output.json(&images.collect::<Vec<_>>());
    }
    let mut lines = Vec::new();
    for loaded in &loaded {
        match loaded.references() {
            [] => lines.push(format!("Loaded image ID: {}", loaded.image().id())),
            references => lines.extend(references.iter().map(|name| format!("Loaded image: {}", name.familiar()))),
        }
    }
    session.output.lines(lines)
}

pub fn save(session: &Session, save: &Save) -> Outcome<()> {
    let format = match save.archive {
        Archive::Docker => Format::Docker,
        Archive::Oci => Format::OciArchive,
        Archive::OciDir => Format::OciDirectory,
    };
    let target = match save.output.as_deref() {
        Some(path) if path != Path::new("-") => Target::path(path),
        _ if save.archive == Archive::OciDir => return Err(Failure::usage("save a directory: --output says where")),
        _ if io::stdout().is_terminal() => {
            return Err(Failure::usage(
                "save to standard output: it is a terminal\n  hint: use --output FILE, or redirect it",
            ));
        }
        _ => Target::writer(io::BufWriter::with_capacity(1 << 16, Unlocked)),
    };
    let names: Vec<&str> = save.images.iter().map(String::as_str).collect();
    Ok(session.engine()?.save_as(&names, target, format)?)
}

/// Standard output without its line buffer, which would search every block of the archive for line feeds.
#[derive(Debug)]
pub struct Unlocked;

impl Write for Unlocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::write(io::stdout(), bytes))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file, or standard input for `-` and for nothing.
fn source(path: Option<&Path>) -> Outcome<Source<'static>> {
    match path {
        Some(path) if path != Path::new("-") => Ok(Source::path(path)),
        _ if io::stdin().is_terminal() => Err(Failure::usage(
            "read an archive from standard input: it is a terminal\n  hint: name a file, or redirect it",
        )),
        _ => Ok(Source::reader(io::stdin())),
    }
}

fn familiar(references: &[Reference]) -> Vec<String> {
    references.iter().map(Reference::familiar).collect()
}

/// How far an archive is read, on a line of the terminal that goes again.
#[derive(Debug)]
struct Meter {
    verb: &'static str,
    wanted: bool,
}

const CLEAR_LINE: &str = "\r\x1b[K";

impl Meter {
    fn new(verb: &'static str, quiet: bool) -> Self {
        Self { verb, wanted: !quiet && io::stderr().is_terminal() }
    }

    fn is_wanted(&self) -> bool {
        self.wanted
    }

    fn listener(&self) -> impl Fn(&Progress) + Send + Sync + 'static {
        let verb = self.verb;
        let last = Mutex::new(Instant::now());
        move |progress| {
            let Ok(mut last) = last.lock() else { return };
            if last.elapsed() < Duration::from_millis(100) {
                return;
            }
            *last = Instant::now();
            let total = progress.total().map(|total| format!(" of {}", human::size(total))).unwrap_or_default();
            // Nobody misses a progress line that cannot be printed.
            let _ = write!(io::stderr(), "{CLEAR_LINE}{verb}: {}{total}", human::size(progress.read()));
        }
    }

    fn clear(&self) {
        if self.wanted {
            let _ = write!(io::stderr(), "{CLEAR_LINE}");
        }
    }
}
