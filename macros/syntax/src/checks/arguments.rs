//! Build arguments that nothing reads.

use super::Checker;
use super::variables::{ALWAYS, texts};
use crate::ast::{Body, Instruction, Named, Origin, Text};
use crate::finding::Finding;
use crate::{suggest, variables};

/// The arguments known at one point, and which of all declarations each is.
type Scope<'a> = Vec<(&'a str, usize)>;

/// All declarations, and whether something reads each.
#[derive(Default)]
struct Arguments<'a>(Vec<(&'a Text, bool)>);

impl<'a> Arguments<'a> {
    fn declare(&mut self, name: &'a Text, scope: &mut Scope<'a>) {
        // The builder reads some by itself.
        let is_special = ALWAYS.contains(&name.value.as_str())
            || name.value == "SOURCE_DATE_EPOCH"
            || name.value.starts_with("BUILDKIT_");
        scope.retain(|(known, _)| *known != name.value);
        scope.push((&name.value, self.0.len()));
        self.0.push((name, is_special));
    }

    fn read(&mut self, name: &str, scope: &Scope<'a>) {
        // A misspelt name, which is a mistake already, reads the one that was probably meant.
        let find = |wanted| scope.iter().rfind(|(known, _)| *known == wanted);
        let meant = || suggest::nearest(name, scope.iter().map(|(known, _)| *known)).and_then(find);
        if let Some((_, index)) = find(name).or_else(meant) {
            self.0[*index].1 = true;
        }
    }

    fn read_in(&mut self, text: &Text, scope: &Scope<'a>) {
        let Some(value) = text.known() else { return };
        match variables::uses(value) {
            Ok(uses) => uses.into_iter().for_each(|found| self.read(found.name, scope)),
            // A value that is a mistake already reads what it names.
            Err(_) => {
                for (name, index) in scope {
                    self.0[*index].1 |= value.contains(name);
                }
            }
        }
    }

    fn read_all(&mut self, scope: &Scope<'a>) {
        for (_, index) in scope {
            self.0[*index].1 = true;
        }
    }
}

impl<'a> Checker<'a> {
    pub(super) fn unused_arguments(&mut self) {
        let mut arguments = Arguments::default();
        let mut global = Scope::new();
        let mut stages: Vec<(&'a str, Scope<'a>)> = Vec::new();
        let mut stage: Option<(Option<&'a str>, Scope<'a>)> = None;
        for instruction in self.instructions {
            if let Body::From(Named { text, name }) = &instruction.body {
                if let Some((Some(name), scope)) = stage.take() {
                    stages.push((name, scope));
                }
                arguments.read_in(text, &global);
                if let Some(platform) = instruction.flag_text("platform") {
                    arguments.read_in(platform, &global);
                }
                let parent = stages.iter().rfind(|(name, _)| *name == text.value);
                let parent = parent.filter(|_| self.origin(text) == Origin::Stage);
                let scope = parent.map(|(_, scope)| scope.clone()).unwrap_or_default();
                stage = Some((name.as_ref().map(|name| name.value.as_str()), scope));
                continue;
            }
            match &mut stage {
                Some((_, scope)) => in_scope(instruction, scope, Some(&global), &mut arguments),
                None => in_scope(instruction, &mut global, None, &mut arguments),
            }
        }
        if stage.is_none() {
            return;
        }
        for (name, _) in arguments.0.into_iter().filter(|(_, is_read)| !is_read) {
            let message = format!("`ARG {}` is never used", name.value);
            self.report(Finding::warning("unused_arg", name.place, message).help("remove it"));
        }
    }
}

fn in_scope<'a>(
    instruction: &'a Instruction,
    scope: &mut Scope<'a>,
    global: Option<&Scope<'a>>,
    arguments: &mut Arguments<'a>,
) {
    match &instruction.body {
        Body::Arg(pairs) => {
            for (name, default) in pairs {
                match (default, global) {
                    (Some(default), _) => arguments.read_in(default, scope),
                    (None, Some(global)) => arguments.read(&name.value, global),
                    (None, None) => {}
                }
                arguments.declare(name, scope);
            }
        }
        Body::Env(pairs) => pairs.iter().for_each(|(_, value)| arguments.read_in(value, scope)),
        // Its environment has them all.
        Body::Run(_) | Body::OnBuild(_) => arguments.read_all(scope),
        body => {
            // `--from` takes no variables, which is a mistake of its own.
            let mut texts = texts(instruction, body);
            texts.extend(instruction.flag_text("from"));
            if let Body::Copy(transfer) | Body::Add(transfer) = body {
                let expanded = transfer.inline.iter().filter(|inline| inline.expands);
                texts.extend(expanded.map(|inline| &inline.text));
            }
            for text in texts {
                arguments.read_in(text, scope);
            }
        }
    }
}
