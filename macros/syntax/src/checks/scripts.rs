//! Warnings about the scripts of `RUN`.

use super::Checker;
use super::shells::Shell;
use crate::ast::Text;
use crate::finding::Finding;
use crate::shell;

/// Flags that answer a package manager's question; `-y` is one too, and `-qq` implies it.
const ANSWERS: [&str; 5] = ["--yes", "--assume-yes", "--assumeyes", "--non-interactive", "-n"];

/// The verbs of a package manager that ask before they go on.
fn asks(program: &str) -> &'static [&'static str] {
    match program {
        "apt-get" => &["install", "upgrade", "dist-upgrade", "remove"],
        _ => &["install", "upgrade", "update", "remove"],
    }
}

impl Checker<'_> {
    /// A script of `RUN` that a shell accepts; `alone` if it is all of it.
    pub(super) fn script_warnings(&mut self, script: &Text, text: &str, facts: &shell::Facts, alone: bool) {
        let at = |range: &std::ops::Range<usize>| text.get(range.clone()).unwrap_or_default();
        if let Some((range, what)) = facts.bash.first().filter(|_| self.shell == Shell::Posix) {
            let message = format!("{what} is bash; `RUN` uses /bin/sh here");
            let finding = Finding::warning("bashism", script.place, message).at(range.clone());
            self.report(finding.help("SHELL [\"/bin/bash\", \"-c\"]"));
        }
        if let Some(range) = facts.pipes.first().filter(|_| self.shell == Shell::Bash && !text.contains("pipefail")) {
            let message = "a failure before the `|` goes unnoticed";
            let finding = Finding::warning("pipe_hides_failure", script.place, message).at(range.clone());
            self.report(finding.help("SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]"));
        }
        for words in &facts.commands {
            let Some(first) = words.first() else { continue };
            let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&at(word)));
            let short = |letter: char| {
                words.iter().any(|word| {
                    let word = at(word);
                    word.starts_with('-') && !word.starts_with("--") && word.contains(letter)
                })
            };
            let found = match at(first) {
                "sudo" => Some((
                    "sudo_in_run",
                    "`sudo` in an image build is already root, or has no terminal to ask on".to_owned(),
                    "use `USER`",
                )),
                "cd" if alone && facts.commands.len() == 1 => {
                    Some(("cd_alone", "`cd` lasts only for this `RUN`".to_owned(), "use `WORKDIR`"))
                }
                "export" if alone && facts.commands.len() == 1 => {
                    Some(("unused_env_export", "`export` lasts only for this `RUN`".to_owned(), "use `ENV`"))
                }
                "apt" => Some(("apt_for_people", "`apt` is for people at a terminal".to_owned(), "use `apt-get`")),
                "service" | "systemctl" | "shutdown" | "reboot" => {
                    let message = "nothing started in a `RUN` outlives it".to_owned();
                    Some(("service_in_run", message, "start it with `CMD` or `ENTRYPOINT`"))
                }
                program @ ("apt-get" | "yum" | "dnf" | "microdnf" | "zypper")
                    if asks(program).iter().any(|verb| has(&[verb]))
                        && !has(&ANSWERS)
                        && !short('y')
                        && !short('q') =>
                {
                    let verb = if has(&["install"]) { "install" } else { "upgrade" };
                    Some(("asks_a_question", format!("`{program} {verb}` asks before it goes on"), "add `-y`"))
                }
                "apt-get" if alone && has(&["update"]) && facts.commands.len() == 1 => {
                    let message = "`apt-get update` in a `RUN` of its own is cached and goes stale".to_owned();
                    Some(("stale_update", message, "join it to the install with `&&`"))
                }
                "[" if words.last().is_some_and(|last| at(last) != "]" && at(last).ends_with(']')) => {
                    let message = "`]` needs a space before it".to_owned();
                    let range = words.last().map_or(0..0, |last| last.end - 1..last.end);
                    let finding = Finding::warning("closing_bracket", script.place, message).at(range);
                    self.report(finding.help("[ -f file ]"));
                    None
                }
                _ => None,
            };
            if let Some((name, message, help)) = found {
                self.report(Finding::warning(name, script.place, message).help(help).at(first.clone()));
            }
        }
    }
}
