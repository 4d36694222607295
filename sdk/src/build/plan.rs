//! From a definition to stages: what stands on what, and what is needed. Pure: reads no file and no store.

use crate::error::{Error, ErrorKind, Fault, Result};
use crate::image::{Base, Instruction, Layers};
use crate::spec::Platform;

use super::scope::{Globals, Scope as _};

/// The stages of a definition.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub stages: Vec<Stage<'a>>,
    /// The stage that becomes the image.
    pub target: usize,
    /// Variables declared before the first `FROM`.
    pub globals: Globals,
}

/// One stage.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub name: Option<&'a str>,
    pub ground: Ground<'a>,
    /// The platform that its `FROM` asks for.
    pub platform: Option<Platform>,
    /// The instructions after `FROM`, each with its index in the definition.
    pub instructions: Vec<(usize, &'a Instruction)>,
    /// Whether the target needs it.
    pub is_needed: bool,
}

/// What a stage stands on, or what is copied from. Variables are expanded, names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ground<'a> {
    Scratch,
    Image(String),
    Stage(usize),
    Host(&'a [String]),
    Definition(&'a Layers),
}

#[derive(Debug, thiserror::Error)]
enum PlanFault {
    #[error("build image: the definition has no FROM")]
    NoFrom,
    #[error("build image: {keyword} stands before the first FROM, where only ARG may")]
    BeforeFrom { keyword: &'static str },
    #[error("build image: no stage named {name:?}{before}{nearest}")]
    NoStage { name: String, before: &'static str, nearest: String },
    #[error("build image: stage {name:?} copies from itself or from a later stage")]
    NotEarlier { name: String },
}

impl Fault for PlanFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoStage { .. } => ErrorKind::NotFound,
            _ => ErrorKind::InvalidArgument,
        }
    }
}

impl<'a> Plan<'a> {
    /// Splits a definition into stages and finds those that the target needs.
    ///
    /// `globals` brings the caller's values; the last stage is the target where none is named.
    pub(super) fn new(definition: &'a Layers, mut globals: Globals, target: Option<&str>) -> Result<Self> {
        let mut stages: Vec<Stage<'a>> = Vec::new();
        for (index, instruction) in definition.instructions().iter().enumerate() {
            match (instruction, stages.last_mut()) {
                (Instruction::From(from), _) => {
                    let ground = ground(&stages, stages.len(), from.base(), &globals)?;
                    let platform = from.platform().map(|text| globals.expand(text)).transpose()?;
                    let platform = platform.map(|text| Platform::parse(&text)).transpose()?;
                    stages.push(Stage {
                        name: from.stage(),
                        ground,
                        platform,
                        instructions: Vec::new(),
                        is_needed: false,
                    });
                }
                (Instruction::Arg(arg), None) => globals.declare(arg)?,
                (other, None) => return Err(PlanFault::BeforeFrom { keyword: other.keyword() }.into()),
                (_, Some(stage)) => stage.instructions.push((index, instruction)),
            }
        }
        let target = match target {
            Some(name) => find(&stages, name, stages.len(), "")?,
            None => stages.len().checked_sub(1).ok_or(PlanFault::NoFrom)?,
        };
        let mut plan = Self { stages, target, globals };
        plan.mark(target)?;
        Ok(plan)
    }

    /// What a `--from` of an instruction in stage `at` names.
    pub(super) fn ground_of<'b>(&self, base: &'b Base, at: usize) -> Result<Ground<'b>> {
        ground(&self.stages, at, base, &self.globals)
    }

    /// The earlier stages that a stage stands on, copies from or mounts.
    fn needs(&self, at: usize) -> Result<Vec<usize>> {
        let stage = &self.stages[at];
        let mut needs = Vec::new();
        if let Ground::Stage(index) = stage.ground {
            needs.push(index);
            // Its triggers are executed here, and may copy from the stages that they could name there.
            for trigger in self.stages[index].triggers() {
                self.sources(trigger, at, &mut needs)?;
            }
        }
        for (_, instruction) in &stage.instructions {
            self.sources(instruction, at, &mut needs)?;
        }
        Ok(needs)
    }

    fn sources(&self, instruction: &Instruction, at: usize, needs: &mut Vec<usize>) -> Result<()> {
        for base in bases(instruction) {
            if let Ground::Stage(index) = self.ground_of(base, at)? {
                needs.push(index);
            }
        }
        Ok(())
    }

    fn mark(&mut self, target: usize) -> Result<()> {
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            if !std::mem::replace(&mut self.stages[index].is_needed, true) {
                open.extend(self.needs(index)?);
            }
        }
        Ok(())
    }
}

impl<'a> Stage<'a> {
    /// Whether this is its name, without regard to case.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name.is_some_and(|have| have.eq_ignore_ascii_case(name))
    }

    /// What it leaves to those that are built on it.
    pub(super) fn triggers(&self) -> impl Iterator<Item = &'a Instruction> {
        self.instructions.iter().filter_map(|(_, instruction)| match instruction {
            Instruction::OnBuild(trigger) => Some(&**trigger),
            _ => None,
        })
    }
}

/// What an instruction reads from other than the context.
pub(super) fn bases(instruction: &Instruction) -> Vec<&Base> {
    match instruction {
        Instruction::Copy(copy) => copy.base().into_iter().collect(),
        Instruction::Add(add) => add.as_copy().base().into_iter().collect(),
        Instruction::Run(run) => run.mounts().iter().filter_map(|mount| mount.base()).collect(),
        _ => Vec::new(),
    }
}

/// Whether an instruction is a step: one that can make a layer.
pub(super) fn is_step(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_) | Instruction::Workdir(_))
}

fn ground<'b>(stages: &[Stage<'_>], at: usize, base: &'b Base, globals: &Globals) -> Result<Ground<'b>> {
    Ok(match base {
        Base::Scratch => Ground::Scratch,
        Base::Image(reference) => match globals.expand(reference)?.as_str() {
            "scratch" => Ground::Scratch,
            "" => {
                let why = format!("the base {reference:?} is empty once its variables are expanded");
                return Err(Error::new(ErrorKind::InvalidArgument, format!("build image: {why}")));
            }
            reference => Ground::Image(reference.to_owned()),
        },
        Base::Stage(name) => Ground::Stage(find(stages, name, at, " before this one")?),
        Base::Host(programs) => Ground::Host(programs),
        Base::Definition(definition) => Ground::Definition(definition),
    })
}

/// The stage of a name, without regard to case, or of a number; among those before `end`.
fn find(stages: &[Stage<'_>], name: &str, end: usize, before: &'static str) -> Result<usize> {
    let found = stages
        .iter()
        .position(|stage| stage.is_called(name))
        .or_else(|| name.parse().ok().filter(|index| *index < stages.len()));
    match found {
        Some(index) if index < end => Ok(index),
        Some(_) => Err(PlanFault::NotEarlier { name: name.to_owned() }.into()),
        None => {
            let names = stages.iter().filter_map(|stage| stage.name);
            Err(PlanFault::NoStage { name: name.to_owned(), before, nearest: super::nearest(name, names) }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image::Copy;

    fn needed(definition: &Layers, target: Option<&str>) -> Vec<usize> {
        let plan = Plan::new(definition, Globals::default(), target).unwrap();
        let stages = plan.stages.iter().enumerate();
        stages.filter_map(|(index, stage)| stage.is_needed.then_some(index)).collect()
    }

    fn three() -> Layers {
        Layers::new()
            .from("debian:12")
            .stage("build")
            .run("make")
            .from("debian:12")
            .stage("docs")
            .run("make docs")
            .from("debian:12")
            .instruction(Copy::of("/app").to("/").from_stage("BUILD"))
    }

    #[test]
    fn stages_that_the_target_does_not_need_are_skipped() {
        assert_eq!(needed(&three(), None), [0, 2]);
        assert_eq!(needed(&three(), Some("docs")), [1]);
        assert_eq!(needed(&three(), Some("1")), [1]);
    }

    #[test]
    fn an_unknown_stage_names_the_nearest() {
        let error = Plan::new(&three(), Globals::default(), Some("biuld")).unwrap_err();
        assert_eq!(error.to_string(), "build image: no stage named \"biuld\" (did you mean \"build\"?)");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_stage_cannot_copy_from_itself() {
        let definition =
            Layers::new().from("debian:12").stage("a").instruction(Copy::of("/app").to("/").from_stage("a"));
        let error = Plan::new(&definition, Globals::default(), None).unwrap_err();
        assert_eq!(error.to_string(), "build image: stage \"a\" copies from itself or from a later stage");
    }

    #[test]
    fn global_arguments_reach_from() {
        let definition = Layers::new().arg("V", "12").from("debian:${V}-slim");
        let plan = Plan::new(&definition, Globals::default(), None).unwrap();
        assert_eq!(plan.stages[0].ground, Ground::Image("debian:12-slim".into()));
        let given = Globals::new(crate::build::scope::Given::new([("V".to_owned(), "13".to_owned())].into()));
        let plan = Plan::new(&definition, given, None).unwrap();
        assert_eq!(plan.stages[0].ground, Ground::Image("debian:13-slim".into()));
    }

    #[test]
    fn a_definition_without_from_is_refused() {
        for (definition, message) in [
            (Layers::new(), "build image: the definition has no FROM"),
            (Layers::new().run("x"), "build image: RUN stands before the first FROM, where only ARG may"),
        ] {
            assert_eq!(Plan::new(&definition, Globals::default(), None).unwrap_err().to_string(), message);
        }
    }
}
