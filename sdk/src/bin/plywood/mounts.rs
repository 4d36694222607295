//! `--volume`, `--mount` and `--tmpfs`.

use std::path::{Path, PathBuf};

use plywood::Mount;

use crate::failure::{Failure, Outcome};

/// `[SOURCE:]TARGET[:ro]`. A source that begins with `/`, `.` or `~` is a path, any other the name of a volume; without
/// one the volume has no name.
pub fn volume(text: &str) -> Outcome<Mount> {
    let wrong = |why: &str| Failure::usage(format!("invalid --volume {text:?}: {why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] if target.starts_with('/') => return Ok(Mount::anonymous(*target)),
        [_] => return Err(wrong("it reads SOURCE:TARGET, or the absolute TARGET of a volume without a name")),
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => return Err(wrong("it reads SOURCE:TARGET or SOURCE:TARGET:ro")),
    };
    if source.is_empty() || target.is_empty() {
        return Err(wrong("it reads SOURCE:TARGET or SOURCE:TARGET:ro"));
    }
    let mut mount = match source.starts_with(['/', '.', '~']) {
        true => Mount::bind(absolute(source)?, target),
        false => Mount::volume(source, target),
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount = mount.read_only(),
            "rw" => {}
            // What SELinux would be told, and what holds here anyway.
            "z" | "Z" | "rprivate" | "private" => {}
            _ => return Err(wrong(&format!("the option {option:?} is none of ro and rw"))),
        }
    }
    Ok(mount)
}

/// Paths are those of the caller, whatever directory the library works in.
fn absolute(path: &str) -> Outcome<PathBuf> {
    std::path::absolute(Path::new(path)).map_err(|error| Failure::os(format_args!("find {path:?}"), &error))
}

/// `type=bind,source=…,target=…,readonly`.
pub fn mount(text: &str) -> Outcome<Mount> {
    let wrong = |why: String| Failure::usage(format!("invalid --mount {text:?}: {why}"));
    let (mut kind, mut source, mut target, mut read_only) = ("volume", None, None, false);
    let (mut size, mut mode) = (None, None);
    for option in text.split(',') {
        let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value)));
        let needed = || value.ok_or_else(|| wrong(format!("{key} needs a value")));
        match key {
            "type" => kind = needed()?,
            "source" | "src" => source = Some(needed()?),
            "target" | "destination" | "dst" => target = Some(needed()?),
            "readonly" | "ro" => read_only = !matches!(value, Some("false" | "0")),
            "tmpfs-size" => size = Some(needed()?),
            "tmpfs-mode" => mode = Some(needed()?),
            _ => return Err(wrong(format!("there is no option {key:?}"))),
        }
    }
    let target = target.ok_or_else(|| wrong("it has no target".to_owned()))?;
    let needed = source.ok_or_else(|| wrong("it has no source".to_owned()));
    let mut mount = match kind {
        "bind" => Mount::bind(absolute(needed?)?, target),
        "volume" if source.is_none() => Mount::anonymous(target),
        "volume" => Mount::volume(needed?, target),
        "tmpfs" if source.is_none() => Mount::tmpfs(target),
        "tmpfs" => return Err(wrong("a tmpfs has no source".to_owned())),
        _ => return Err(wrong(format!("the type {kind:?} is none of bind, volume and tmpfs"))),
    };
    if let Some(size) = size {
        mount = mount.size(size);
    }
    if let Some(mode) = mode {
        mount = mount.mode(octal(mode).ok_or_else(|| wrong(format!("the mode {mode:?} is not octal")))?);
    }
    Ok(if read_only { mount.read_only() } else { mount })
}

/// `TARGET[:size=64m,mode=1777,ro]`.
pub fn tmpfs(text: &str) -> Outcome<Mount> {
    let wrong = |why: String| Failure::usage(format!("invalid --tmpfs {text:?}: {why}"));
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = Mount::tmpfs(target);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        mount = match option.split_once('=').unwrap_or((option, "")) {
            ("size", size) => mount.size(size),
            ("mode", mode) => mount.mode(octal(mode).ok_or_else(|| wrong(format!("the mode {mode:?} is not octal")))?),
            ("ro", "") => mount.read_only(),
            ("rw" | "nosuid" | "nodev", "") => mount,
            _ => return Err(wrong(format!("the option {option:?} is none of size=, mode=, ro and rw"))),
        };
    }
    Ok(mount)
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use plywood::spec::mount::Source;

    use super::*;

    #[test]
    fn a_volume_is_a_name_or_a_path() {
        let named = volume("data:/data:ro").unwrap();
        assert_eq!(*named.source(), Source::Volume("data".to_owned()));
        assert!(named.is_read_only());
        let bound = volume("/etc:/host").unwrap();
        assert_eq!(*bound.source(), Source::Bind("/etc".into()));
        assert!(!bound.is_read_only());
        let Source::Bind(relative) = volume("./x:/x").unwrap().source().clone() else { panic!("a path") };
        assert!(relative.is_absolute() && relative.ends_with("x"), "{relative:?}");
        assert_eq!(volume("/only").unwrap(), Mount::anonymous("/only"));
        for text in ["only", "a:b:c:d", ":/x", "a:", "a:/x:shiny"] {
            assert!(volume(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_long_form_says_the_same() {
        assert_eq!(mount("type=bind,src=/etc,dst=/host,readonly").unwrap(), volume("/etc:/host:ro").unwrap());
        assert_eq!(mount("source=data,target=/data").unwrap(), volume("data:/data").unwrap());
        assert_eq!(mount("target=/only").unwrap(), volume("/only").unwrap());
        let memory = mount("type=tmpfs,target=/tmp,tmpfs-size=64m,tmpfs-mode=700").unwrap();
        assert_eq!(memory, tmpfs("/tmp:size=64m,mode=700").unwrap());
        for text in ["", "type=bind,target=/x", "type=cloud,target=/x", "source=a", "type=tmpfs,source=a,target=/b"] {
            assert!(mount(text).is_err(), "{text}");
        }
    }
}
