//! Environment and argument vector, by Docker's rules.
//!
//! Environment: `PATH` and `HOSTNAME` by default, with a terminal `TERM`, then what the definition sets, then what the image sets and the
//! definition does not, then `HOME` from the container's passwd unless somebody set it.
//!
//! Arguments: entrypoint, then command. A definition that names an entrypoint drops the command of the image; an empty
//! entrypoint that is given counts as none.

use crate::runtime::DEFAULT_PATH;

/// What a process with a terminal is told about it, as in Docker: what every terminal can do.
const TERM: &str = "TERM=xterm";

/// One wish of a definition: set a variable, or remove what the image sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Variable {
    Set(String, String),
    Remove(String),
}

/// The environment to record: the definition's, then the image's.
pub(crate) fn merge(image: &[String], definition: &[Variable]) -> Vec<String> {
    let mut merged: Vec<String> = Vec::with_capacity(image.len() + definition.len());
    for variable in definition {
        match variable {
            Variable::Set(name, value) => set(&mut merged, name, format!("{name}={value}")),
            Variable::Remove(name) => merged.retain(|entry| name_of(entry) != name),
        }
    }
    let removed = |name: &str| matches!(definition.iter().rev().find(|v| v.name() == name), Some(Variable::Remove(_)));
    for entry in image {
        let name = name_of(entry);
        if !removed(name) && !merged.iter().any(|own| name_of(own) == name) {
            merged.push(entry.clone());
        }
    }
    merged
}

/// The environment a process starts with.
///
/// An entry without `=` removes a default, as in Docker; the last of several entries of one name holds.
pub(crate) fn complete(recorded: &[String], hostname: &str, home: &str, tty: bool) -> Vec<String> {
    let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={hostname}")];
    env.extend(tty.then(|| TERM.to_owned()));
    for entry in recorded {
        let name = name_of(entry);
        if entry.contains('=') {
            set(&mut env, name, entry.clone());
        } else {
            env.retain(|own| name_of(own) != name);
        }
    }
    if !env.iter().any(|entry| name_of(entry) == "HOME") {
        env.push(format!("HOME={home}"));
    }
    env
}

/// Entrypoint and command of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Command {
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) cmd: Option<Vec<String>>,
}

impl Command {
    /// What the definition wants, completed by the image.
    pub(crate) fn merge(self, image: Command) -> Command {
        let Command { entrypoint, mut cmd } = self;
        if entrypoint.as_ref().is_none_or(|argv| argv.is_empty()) && cmd.as_ref().is_none_or(|argv| argv.is_empty()) {
            cmd = image.cmd;
        }
        Command { entrypoint: entrypoint.or(image.entrypoint), cmd }
    }

    /// The whole argument vector; empty if there is no command.
    pub(crate) fn argv(&self) -> Vec<String> {
        let entrypoint = match self.entrypoint.as_deref() {
            // What `--entrypoint ""` leaves: none.
            Some([only]) if only.is_empty() => None,
            given => given,
        };
        entrypoint.unwrap_or_default().iter().chain(self.cmd.as_deref().unwrap_or_default()).cloned().collect()
    }
}

impl Variable {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Remove(name) => name,
        }
    }

    /// Why the variable cannot be passed to a process.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let name = self.name();
        match self {
            _ if name.is_empty() => Some("the name is empty"),
            _ if name.contains('=') => Some("a name cannot contain \"=\""),
            _ if name.contains('\0') => Some("a name cannot contain a zero byte"),
            Self::Set(_, value) if value.contains('\0') => Some("a value cannot contain a zero byte"),
            _ => None,
        }
    }
}

fn set(env: &mut Vec<String>, name: &str, entry: String) {
    match env.iter_mut().find(|own| name_of(own) == name) {
        Some(own) => *own = entry,
        None => env.push(entry),
    }
}

fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn the_definition_wins_over_the_image() {
        let image = strings(&["PATH=/opt/bin", "MODE=image", "LANG=C"]);
        let own = [Variable::Set("MODE".into(), "a=b".into()), Variable::Remove("LANG".into())];
        assert_eq!(merge(&image, &own), strings(&["MODE=a=b", "PATH=/opt/bin"]));
    }

    #[test]
    fn setting_again_after_removing_holds() {
        let own = [Variable::Remove("A".into()), Variable::Set("A".into(), "2".into())];
        assert_eq!(merge(&strings(&["A=1"]), &own), strings(&["A=2"]));
    }

    #[test]
    fn path_hostname_and_home_have_defaults() {
        let env = complete(&strings(&["A=1", "A=2", "HOSTNAME"]), "box", "/root", false);
        assert_eq!(env, [format!("PATH={DEFAULT_PATH}"), "A=2".into(), "HOME=/root".into()]);
        let env = complete(&strings(&["PATH=/x", "HOME=/h"]), "box", "/root", true);
        assert_eq!(env, ["PATH=/x", "HOSTNAME=box", "TERM=xterm", "HOME=/h"]);
        let env = complete(&strings(&["PATH=/x", "HOME=/h", "TERM=dumb"]), "box", "/root", true);
        assert_eq!(env, ["PATH=/x", "HOSTNAME=box", "TERM=dumb", "HOME=/h"]);
    }

    #[test]
    fn entrypoint_and_command_merge_as_in_docker() {
        let some = |list: &[&str]| Some(strings(list));
        let image = Command { entrypoint: some(&["/entry"]), cmd: some(&["serve"]) };
        type Words = Option<Vec<String>>;
        let table: [(Words, Words, &[&str]); 7] = [
            (None, None, &["/entry", "serve"]),
            (None, some(&["other"]), &["/entry", "other"]),
            (some(&["sh"]), None, &["sh"]),
            (some(&["sh"]), some(&["-c", "x"]), &["sh", "-c", "x"]),
            (some(&[]), None, &["serve"]),
            (some(&[""]), None, &[]),
            (some(&[""]), some(&["ls"]), &["ls"]),
        ];
        for (entrypoint, cmd, expected) in table {
            let own = Command { entrypoint, cmd };
            assert_eq!(own.clone().merge(image.clone()).argv(), expected, "{own:?}");
        }
    }

    #[test]
    fn a_variable_that_no_process_can_get_is_refused() {
        assert!(Variable::Set("A=B".into(), String::new()).fault().is_some());
        assert!(Variable::Set(String::new(), String::new()).fault().is_some());
        assert!(Variable::Set("A".into(), "x\0".into()).fault().is_some());
        assert!(Variable::Set("A".into(), "x\ny".into()).fault().is_none());
    }
}
