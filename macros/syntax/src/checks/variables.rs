//! Variables: each use sees a declaration.

use super::Checker;
use super::shells::{Shell, Shells};
use crate::ast::{Body, Command, FlagValue, Instruction, Named, Origin, Text};
use crate::finding::{Finding, Place};
use crate::{shell, suggest, variables};

/// Known in every scope.
pub(super) const ALWAYS: [&str; 11] = [
    "PATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
];

/// Known before the first `FROM`, and in a stage that declares them.
const PLATFORM: [&str; 8] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
];

/// Set by the shell itself or by what started it.
const OF_SHELLS: [&str; 11] =
    ["HOME", "PWD", "OLDPWD", "USER", "SHELL", "HOSTNAME", "IFS", "UID", "LANG", "TERM", "PATH"];
/// Commands that set variables which cannot be seen.
const SETTERS: [&str; 4] = [".", "source", "eval", "getopts"];
/// Shorter names are one letter away from too many others.
const SHORTEST_MISSPELT: usize = 4;

/// The variables known at one point.
type Scope<'a> = Vec<&'a str>;

impl<'a> Checker<'a> {
    pub(super) fn variables(&mut self) {
        let mut global: Scope<'a> = Scope::new();
        let mut stages: Vec<(&'a str, Scope<'a>)> = Vec::new();
        let mut scope: Option<Scope<'a>> = None;
        let mut name: Option<&'a str> = None;
        let mut shells = Shells::default();
        for (index, instruction) in self.instructions.iter().enumerate() {
            let shell = shells.at(instruction);
            if let Body::From(Named { text, name: next }) = &instruction.body {
                if let (Some(name), Some(scope)) = (name, scope.take()) {
                    stages.push((name, scope));
                }
                let parent = stages.iter().rfind(|(name, _)| *name == text.value);
                let inherited = parent.filter(|_| self.origin(text) == Origin::Stage).map(|(_, scope)| scope);
                self.uses(text, &global, &global, None, index);
                if let Some(platform) = instruction.flag_text("platform") {
                    self.uses(platform, &global, &global, None, index);
                }
                scope = Some(inherited.cloned().unwrap_or_default());
                name = next.as_ref().map(|name| name.value.as_str());
                continue;
            }
            if let (Body::Run(Command::Shell(scripts)), Some(scope)) = (&instruction.body, &scope)
                && shell.reading(scripts) != Shell::Other
            {
                self.near_misses(scripts, scope);
            }
            match &mut scope {
                Some(scope) => self.in_scope(instruction, scope, Some(&global), index),
                None => self.in_scope(instruction, &mut global, None, index),
            }
        }
    }

    /// Checks what an instruction uses, then adds what it declares. `global` is there in a stage.
    fn in_scope(
        &mut self,
        instruction: &'a Instruction,
        scope: &mut Scope<'a>,
        global: Option<&Scope<'a>>,
        index: usize,
    ) {
        match &instruction.body {
            Body::Arg(pairs) => {
                for (name, default) in pairs {
                    if let Some(default) = default {
                        self.uses(default, scope, global.unwrap_or(&Scope::new()), global.map(|_| instruction), index);
                    }
                    declare(scope, &name.value);
                }
            }
            Body::Env(pairs) => {
                for (at, (_, value)) in pairs.iter().enumerate() {
                    let (same, other) = self.split_same(value, &pairs[..at], scope);
                    for problem in same {
                        self.report(problem);
                    }
                    if other {
                        self.uses(value, scope, global.unwrap_or(&Scope::new()), Some(instruction), index);
                    }
                }
                for (name, _) in pairs {
                    declare(scope, &name.value);
                }
            }
            Body::OnBuild(inner) => self.well_formed(inner),
            body => {
                let empty = Scope::new();
                for text in texts(instruction, body) {
                    self.uses(text, scope, global.unwrap_or(&empty), Some(instruction), index);
                }
            }
        }
    }

    /// Checks how the variables of a trigger are written; which there are, the other image decides.
    fn well_formed(&mut self, trigger: &'a Instruction) {
        let declared: Vec<&Text> = match &trigger.body {
            Body::Arg(pairs) => pairs.iter().filter_map(|(_, default)| default.as_ref()).collect(),
            Body::Env(pairs) => pairs.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        };
        for text in declared.into_iter().chain(texts(trigger, &trigger.body)) {
            if let Some(Err(problem)) = text.known().map(variables::uses) {
                self.problem(problem, text);
            }
        }
    }

    /// Finds uses of variables that the same `ENV` sets before; tells whether the other checks still make sense.
    fn split_same(&self, value: &Text, before: &[(Text, Text)], scope: &Scope<'a>) -> (Vec<Finding>, bool) {
        let Some(Ok(uses)) = value.known().map(variables::uses) else { return (Vec::new(), true) };
        let same: Vec<Finding> = uses
            .into_iter()
            .filter(|found| before.iter().any(|(name, _)| name.value == found.name) && !found.has_default)
            .map(|found| {
                let message = if knows(scope, found.name) {
                    format!("`${}` is set in this same `ENV`, so it still has its old value here", found.name)
                } else {
                    format!("`${}` is set in this same `ENV`, so it is not known here yet", found.name)
                };
                Finding::error("env_same_statement", value.place, message).help("use two `ENV`s").at(found.range)
            })
            .collect();
        let other = same.is_empty();
        (same, other)
    }

    /// Checks the variables of one value. Without an instruction the value stands in a `FROM` or before the first one.
    fn uses(&mut self, text: &Text, scope: &Scope<'a>, global: &Scope<'a>, stage: Option<&Instruction>, index: usize) {
        let Some(value) = text.known() else { return };
        let uses = match variables::uses(value) {
            Ok(uses) => uses,
            Err(problem) => return self.problem(problem, text),
        };
        for found in uses {
            let known = knows(scope, found.name)
                || ALWAYS.contains(&found.name)
                || stage.is_none() && PLATFORM.contains(&found.name);
            if known || found.has_default {
                continue;
            }
            let shown = format!("`${}`", found.name);
            let finding = if stage.is_none() {
                Finding::error("from_variable", text.place, format!("{shown} is not known before the first `FROM`"))
                    .help(near(found.name, scope).unwrap_or_else(|| format!("ARG {} = \"…\"; before it", found.name)))
            } else if let Some(place) = self.declared_later(found.name, index) {
                let line = self.on_line(place);
                let line = if line.is_empty() { line } else { format!(",{line}") };
                let message = format!("{shown} is defined after its use{line}");
                Finding::error("defined_later", text.place, message)
            } else if knows(global, found.name) || PLATFORM.contains(&found.name) {
                let message = format!("{shown} is declared before `FROM`, where stages do not see it");
                Finding::error("only_global", text.place, message)
                    .help(format!("add `ARG {};` to this stage", found.name))
            } else {
                Finding::error("undefined_variable", text.place, format!("{shown} is not defined here")).help(
                    near(found.name, scope).unwrap_or_else(|| {
                        format!(
                            "declare it in this stage, `ARG {0} = \"…\";`, or give a default, `${{{0}:-…}}`",
                            found.name
                        )
                    }),
                )
            };
            self.report(finding.at(found.range));
        }
    }

    /// Finds variables of scripts that nothing sets and that are called almost like one of the definition.
    fn near_misses(&mut self, scripts: &[Text], scope: &Scope<'a>) {
        if scope.is_empty() {
            return;
        }
        let known = scripts.iter().filter_map(|script| Some((script, script.known()?)));
        let read: Vec<_> = known.filter_map(|(script, text)| Some((script, text, shell::read(text).ok()?))).collect();
        let is_set = |name: &str| {
            let set_in =
                |text: &str, facts: &shell::Facts| facts.assigned.iter().any(|at| text.get(at.clone()) == Some(name));
            knows(scope, name) || OF_SHELLS.contains(&name) || read.iter().any(|(_, text, facts)| set_in(text, facts))
        };
        for (script, text, facts) in &read {
            // What another file or command sets cannot be seen.
            let sets = |words: &Vec<std::ops::Range<usize>>| {
                words.first().and_then(|word| text.get(word.clone())).is_some_and(|word| SETTERS.contains(&word))
            };
            if facts.commands.iter().any(sets) {
                continue;
            }
            for range in &facts.parameters {
                let Some(name) = text.get(range.clone()).filter(|name| !is_set(name)) else { continue };
                if text[range.end..].trim_start_matches(':').starts_with(['-', '+', '=', '?']) {
                    continue;
                }
                let Some(near) = misspelt(name, scope) else { continue };
                let message = format!("`${name}` in this script is never set");
                let finding = Finding::warning("variable_near_miss", script.place, message).at(range.clone());
                self.report(finding.help(format!("did you mean `${near}`?")));
            }
        }
    }

    /// Where the rest of this stage declares a variable.
    fn declared_later(&self, wanted: &str, index: usize) -> Option<Place> {
        let rest = self.instructions[index + 1..].iter();
        for instruction in rest.take_while(|instruction| !matches!(instruction.body, Body::From(_))) {
            let found = match &instruction.body {
                Body::Arg(pairs) => pairs.iter().map(|(name, _)| name).find(|name| name.value == wanted),
                Body::Env(pairs) => pairs.iter().map(|(name, _)| name).find(|name| name.value == wanted),
                _ => None,
            };
            if let Some(name) = found {
                return Some(name.place);
            }
        }
        None
    }
}

fn knows(scope: &Scope<'_>, name: &str) -> bool {
    scope.iter().rev().any(|known| *known == name)
}

fn declare<'a>(scope: &mut Scope<'a>, name: &'a str) {
    if !knows(scope, name) {
        scope.push(name);
    }
}

/// The declared name that is one letter away; names that differ in a digit are meant to.
fn misspelt<'a>(name: &str, scope: &Scope<'a>) -> Option<&'a str> {
    let letters = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
    let is_near = |known: &&&str| {
        known.len() >= SHORTEST_MISSPELT && suggest::distance(name, known) <= 1 && letters(name) != letters(known)
    };
    scope.iter().filter(is_near).min().copied()
}

fn near(name: &str, scope: &Scope<'_>) -> Option<String> {
    suggest::nearest(name, scope.iter().copied()).map(|near| format!("did you mean `${near}`?"))
}

/// The values of an instruction in which variables are expanded.
pub(super) fn texts<'a>(instruction: &'a Instruction, body: &'a Body) -> Vec<&'a Text> {
    let mut texts: Vec<&Text> = match body {
        Body::Label(pairs) => pairs.iter().map(|(key, _)| key).chain(pairs.iter().map(|(_, value)| value)).collect(),
        Body::Copy(transfer) | Body::Add(transfer) => transfer.sources.iter().chain([&transfer.destination]).collect(),
        Body::Workdir(text) | Body::User(text) | Body::StopSignal(text) => vec![text],
        Body::Expose(named) | Body::Volume(named) => named.iter().map(|named| &named.text).collect(),
        // What is triggered later is expanded in the other image.
        _ => Vec::new(),
    };
    for flag in &instruction.flags {
        match (&flag.value, flag.name.value.as_str()) {
            (FlagValue::One(text), "chown" | "chmod" | "exclude") => texts.push(text),
            (FlagValue::Options(options), _) => {
                let expanded = options.iter().filter(|(key, _)| key.value != "from");
                texts.extend(expanded.filter_map(|(_, value)| value.as_ref()));
            }
            _ => {}
        }
    }
    texts
}
