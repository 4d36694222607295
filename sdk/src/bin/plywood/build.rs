//! `build`: an image from a Dockerfile.

use std::io::Read;
use std::path::{Path, PathBuf};

use plywood::build::{Event, Options};
use plywood::container::NetworkMode;
use plywood::image::Dockerfile;
use plywood::{Platform, build};

use crate::Session;
use crate::args_build::{Build, Progress};
use crate::failure::{Failure, Outcome, say};
use crate::limits::limited;

/// How the addresses of contexts begin that Docker fetches.
const ADDRESSES: [&str; 5] = ["http://", "https://", "git://", "ssh://", "git@"];

pub fn build(session: &Session, build: &Build) -> Outcome<()> {
    let empty;
    let (file, context) = match build.context.to_str() {
        Some("-") => {
            if build.file.is_some() {
                return Err(Failure::usage("\"-\" is the Dockerfile from standard input: --file names another one"));
            }
            // There is nothing to copy from.
            empty = tempfile::tempdir().map_err(|error| Failure::os("make an empty build context", &error))?;
            (from_stdin()?, empty.path())
        }
        Some(text) if ADDRESSES.iter().any(|address| text.starts_with(address)) => {
            let hint = "fetch it first, and name its directory";
            return Err(Failure::usage(format!("build context {text:?}: it is not fetched\n  hint: {hint}")));
        }
        _ => (read(build)?, &*build.context),
    };
    let file = file.context(context);
    file.warnings().iter().for_each(|warning| say(&format!("warning: {warning}")));
    let options = options(build, context)?;
    let image = session.engine()?.build_with(&file, &options)?;
    let id = image.id().to_string();
    if let Some(path) = &build.iidfile {
        std::fs::write(path, &id)
            .map_err(|error| Failure::os(format_args!("write the image ID to {path:?}"), &error))?;
    }
    match build.is_quiet() || session.output.is_json() {
        true => session.output.line_or(&id, &serde_json::json!({ "Id": id })),
        false => Ok(()),
    }
}

/// The Dockerfile: named, in the build context, or from standard input.
fn read(build: &Build) -> Outcome<Dockerfile> {
    let path = match &build.file {
        None => build.context.join("Dockerfile"),
        Some(path) if path == Path::new("-") => return from_stdin(),
        Some(path) => path.clone(),
    };
    Ok(Dockerfile::open(path)?)
}

fn from_stdin() -> Outcome<Dockerfile> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Failure::os("read the Dockerfile from standard input", &error))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => Ok(Dockerfile::parse(text)?),
        _ => {
            let hint = "unpack an archive first, and name its directory";
            Err(Failure::usage(format!("read the Dockerfile from standard input: it is no text\n  hint: {hint}")))
        }
    }
}

fn options(build: &Build, context: &Path) -> Outcome<build::Options> {
    let mut options = Options::new().context(context).network(build.network.parse::<NetworkMode>()?);
    for tag in &build.tag {
        options = options.tag(tag);
    }
    for arg in &build.build_arg {
        // A name alone takes the caller's value, and is as if it were not given where there is none.
        options = match arg.split_once('=') {
            Some((name, value)) => options.arg(name, value),
            None => std::env::var(arg).map_or(options.clone(), |value| options.arg(arg, value)),
        };
    }
    for label in &build.label {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        options = options.label(key, value);
    }
    for secret in &build.secret {
        let (id, path) = self::secret(secret)?;
        options = options.secret(id, path);
    }
    if let Some(target) = &build.target {
        options = options.target(target);
    }
    if let Some(platform) = &build.platform {
        options = options.platform(Platform::parse(platform)?);
    }
    if build.no_cache {
        options = options.no_cache();
    }
    options = limited!(build.limits, options);
    if let Some(limit) = build.pids_limit {
        options = options.pids_limit(limit);
    }
    if !build.is_quiet() {
        options = options.progress(|event: &Event| eprint(event));
    }
    Ok(options)
}

/// `id=key,src=file`.
fn secret(text: &str) -> Outcome<(String, PathBuf)> {
    let value = |names: &[&str]| {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(name, _)| names.contains(name)).map(|(_, value)| value.to_owned())
    };
    match (value(&["id"]), value(&["src", "source"])) {
        (Some(id), Some(path)) => Ok((id, path.into())),
        (Some(id), None) => Ok((id.clone(), id.into())),
        _ => Err(Failure::usage(format!("--secret {text:?} has no id\n  hint: --secret id=key,src=file"))),
    }
}

/// What happens goes to standard error: standard output is the ID's, if asked for.
fn eprint(event: &Event) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{event}\n").as_bytes());
}

impl Build {
    fn is_quiet(&self) -> bool {
        self.quiet || self.progress == Progress::Quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_file_with_a_name() {
        let found = |text| secret(text).ok();
        assert_eq!(found("id=a,src=/b"), Some(("a".to_owned(), "/b".into())));
        assert_eq!(found("type=file,source=b,id=a"), Some(("a".to_owned(), "b".into())));
        assert_eq!(found("id=a"), Some(("a".to_owned(), "a".into())));
        assert_eq!(found("src=/b"), None);
    }
}
