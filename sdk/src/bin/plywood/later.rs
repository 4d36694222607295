//! Docker's verbs that this version does not have, and words that are no verb at all.

use std::ffi::OsString;

use clap::CommandFactory;

use crate::args::Arguments;
use crate::failure::Failure;

/// What people will try, and what to do instead.
const LATER: &[(&str, &str)] = &[
    ("pull", "save the image elsewhere, and load it here"),
    ("push", "save the image, and load it there"),
    ("login", ""),
    ("logout", ""),
    ("search", ""),
    ("network", "`run --network container:NAME` shares the network of a container; a program makes a `Network`"),
    ("compose", ""),
    ("swarm", ""),
    ("update", "give the limits to `run` or `create`"),
];

/// Docker's words for what has another one here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("help", "`plywood --help` lists the commands, and `plywood COMMAND --help` the options of one"),
    ("version", "`plywood --version`"),
    ("info", "`plywood doctor` looks at the host, and `plywood df` at the data root"),
    ("port", "`plywood ps` lists the ports"),
    ("container", "leave this word out: `plywood ps`, `plywood rm`"),
    ("image", "leave this word out: `plywood images`, `plywood rmi`"),
    ("system", "leave this word out: `plywood df`, `plywood events`, `plywood prune`"),
    ("builder", "`plywood prune` removes the build cache"),
    ("buildx", "leave this word out: `plywood build`"),
];

/// Why these words are no command.
pub fn refuse(words: &[OsString]) -> Failure {
    let word = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some((verb, instead)) = LATER.iter().find(|(verb, _)| *verb == word) {
        return not_yet(verb, instead);
    }
    if let Some((_, there)) = ELSEWHERE.iter().find(|(verb, _)| *verb == word) {
        return Failure::usage(format!("unknown command {word:?}\n  hint: {there}"));
    }
    let usage = match nearest(&word) {
        Some(verb) => format!("did you mean `plywood {verb}`?"),
        None => "`plywood --help` lists the commands".to_owned(),
    };
    Failure::usage(format!("unknown command {word:?}\n  hint: {usage}"))
}

/// Something of Docker's that a later version will have.
pub fn not_yet(what: &str, instead: &str) -> Failure {
    let hint = if instead.is_empty() { String::new() } else { format!("\n  hint: {instead}") };
    Failure::usage(format!("`{what}` is not yet in this version of plywood{hint}"))
}

fn nearest(word: &str) -> Option<String> {
    let command = Arguments::command();
    let verbs = command.get_subcommands().map(clap::Command::get_name);
    plywood_syntax::suggest::nearest(word, verbs).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        assert_eq!(nearest("imagse").as_deref(), Some("images"));
        assert_eq!(nearest("rum").as_deref(), Some("run"));
        assert_eq!(nearest("frobnicate"), None);
    }

    #[test]
    fn what_is_refused_is_no_verb_of_this_version() {
        let command = Arguments::command();
        for (verb, _) in LATER.iter().chain(ELSEWHERE) {
            assert!(command.find_subcommand(verb).is_none(), "{verb}");
        }
    }
}
