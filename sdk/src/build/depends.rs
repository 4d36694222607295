//! What a definition depends on: files of the build context, programs of the host.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::Result;
use crate::host;
use crate::image::{Instruction, Layers};
use crate::spec::image_config::Config;
use crate::spec::{Digest, Digester, Platform};

use super::context::{Chosen, Context};
use super::copy::Found;
use super::plan::{Ground, Plan, bases};
use super::run::has_source;
use super::scope::Globals;
use super::state::{State, Work};
use super::tree::{self, Source, field};

impl Layers {
    /// The files of the build context that a build reads, in the order of their paths.
    ///
    /// They are those that `COPY`, `ADD` and `RUN --mount=type=bind` name, without what `.dockerignore` leaves out, and
    /// those of the definitions that this one is based on. Embedded files are none. Reads directories of the context,
    /// and no image: a variable that only a base image sets is empty.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a definition that cannot be built,
    /// [`NotFound`](crate::ErrorKind::NotFound) for a source that is not there.
    pub fn sources(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        self.visit(&mut |part| {
            match part {
                Part::Copied(context, found) => {
                    found.files(context, &mut |path| files.push(context.path().join(path)))?;
                }
                Part::Mounted(context, source) => {
                    tree::walk(context, &source.entry, &Default::default(), &mut |_, entry| {
                        files.extend((!entry.is_directory()).then(|| context.path().join(&entry.path)));
                        Ok(())
                    })?;
                }
                Part::Host(_) => {}
                Part::Definition(other) => files.extend(other.sources()?),
            }
            Ok(())
        })?;
        files.sort_unstable();
        files.dedup();
        Ok(files)
    }

    /// A digest of the instructions and of the content of all that they name: context files with their names and modes,
    /// embedded files, programs of the host with their libraries.
    ///
    /// It is the same on every machine that has the same files, wherever they are and whoever owns them, and it is
    /// another if any of them changes. What a reference such as `debian:12` leads to is no part of it. Another version
    /// of plywood may compute another digest.
    ///
    /// # Errors
    /// As [`sources`](Self::sources), and where a file cannot be read.
    pub fn digest(&self) -> Result<Digest> {
        let mut digester = Digester::new();
        field(&mut digester, self.to_string().as_bytes());
        self.visit(&mut |part| match part {
            Part::Copied(context, found) => found.digest(context, false, &mut digester).map(drop),
            Part::Mounted(context, source) => {
                tree::digest(context, source, &Default::default(), false, &mut digester).map(drop)
            }
            Part::Host(programs) => {
                field(&mut digester, host::plan(programs)?.fingerprint()?.as_str().as_bytes());
                Ok(())
            }
            Part::Definition(other) => {
                field(&mut digester, other.digest()?.as_str().as_bytes());
                Ok(())
            }
        })?;
        Ok(digester.finish())
    }

    /// Shows all that the stages depend on, in their order.
    fn visit(&self, each: &mut dyn FnMut(Part<'_>) -> Result<()>) -> Result<()> {
        self.check()?;
        let plan = Plan::new(self, Globals::default().platforms(&Platform::host()), None)?;
        let mut visitor = Visitor { definition: self, context: None, each };
        let mut states: Vec<State> = Vec::new();
        for (index, stage) in plan.stages.iter().enumerate() {
            let (mut state, triggers) = match stage.ground {
                Ground::Stage(earlier) => (State::on(&states[earlier]), plan.stages[earlier].triggers().collect()),
                Ground::Definition(other) => (State::new(Config::default(), plan.globals.clone()), triggers_of(other)),
                _ => (State::new(Config::default(), plan.globals.clone()), Vec::new()),
            };
            if stage.is_needed {
                visitor.ground(&stage.ground)?;
                for instruction in triggers.into_iter().chain(stage.instructions.iter().map(|(_, own)| *own)) {
                    for base in bases(instruction) {
                        visitor.ground(&plan.ground_of(base, index)?)?;
                    }
                    visitor.work(&state.step(instruction)?.work)?;
                }
            }
            states.push(state);
        }
        Ok(())
    }
}

/// Something that a definition depends on.
enum Part<'a> {
    /// What a `COPY` copies from the build context.
    Copied(&'a Context, &'a Found),
    /// What a `RUN` mounts from there.
    Mounted(&'a Context, &'a Source),
    Host(&'a [String]),
    Definition(&'a Layers),
}

struct Visitor<'a> {
    definition: &'a Layers,
    /// Opened when it is needed for the first time.
    context: Option<Rc<Context>>,
    each: &'a mut dyn FnMut(Part<'_>) -> Result<()>,
}

impl Visitor<'_> {
    fn ground(&mut self, ground: &Ground<'_>) -> Result<()> {
        match ground {
            Ground::Host(programs) => (self.each)(Part::Host(programs)),
            Ground::Definition(other) => (self.each)(Part::Definition(other)),
            _ => Ok(()),
        }
    }

    fn work(&mut self, work: &Work<'_>) -> Result<()> {
        match work {
            Work::Copy(copy) if copy.from.is_none() && copy.embedded.is_none() => {
                let context = self.context().map_err(|error| copy.about(error))?;
                let found = Found::new(&*context, copy)?;
                (self.each)(Part::Copied(&context, &found))
            }
            Work::Run(run) => {
                for mount in run.mounts.iter().filter(|mount| has_source(mount.mount.kind())) {
                    if mount.mount.base().is_none() {
                        let context = self.context()?;
                        for source in tree::find(&*context, "RUN --mount=type=bind", &mount.source)? {
                            (self.each)(Part::Mounted(&context, &source))?;
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn context(&mut self) -> Result<Rc<Context>> {
        if let Some(context) = &self.context {
            return Ok(Rc::clone(context));
        }
        let directory = self.definition.context_dir().unwrap_or(Path::new("."));
        let context =
            Rc::new(Context::open(directory, Chosen::ByDefinition, self.definition.ignore_file().as_deref())?);
        self.context = Some(Rc::clone(&context));
        Ok(context)
    }
}

/// What the last stage of a definition leaves to those that are built on it.
fn triggers_of(definition: &Layers) -> Vec<&Instruction> {
    let last = definition.instructions().rsplit(|instruction| matches!(instruction, Instruction::From(_))).next();
    let triggers = last.unwrap_or_default().iter().filter_map(|instruction| match instruction {
        Instruction::OnBuild(trigger) => Some(&**trigger),
        _ => None,
    });
    triggers.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;
    use crate::error::ErrorKind;
    use crate::image::{Base, Copy, Embedded, Run, RunMount};

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn new() -> Self {
            let scene = Self(tempfile::tempdir().unwrap());
            for (path, text) in [
                ("src/main.rs", "main"),
                ("src/x.md", "x"),
                ("conf/a.toml", "a"),
                (".dockerignore", "*.log\nsrc/*.md\n"),
                ("b.log", "b"),
            ] {
                scene.write(path, text);
            }
            scene
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn layers(&self) -> Layers {
            Layers::new().context(self.0.path()).from("debian:12").arg("DIR", "src")
        }

        fn names(&self, layers: &Layers) -> Vec<String> {
            let files = layers.sources().unwrap();
            let name = |path: &PathBuf| path.strip_prefix(self.0.path()).unwrap().to_str().unwrap().to_owned();
            files.iter().map(name).collect()
        }
    }

    #[test]
    fn sources_are_the_files_that_a_build_reads() {
        let scene = Scene::new();
        let copied = scene.layers().copy("$DIR", "/src/").instruction(Copy::of("/etc/x").to("/x").from_image("a:1"));
        assert_eq!(scene.names(&copied), ["src/main.rs"]);
        let mounted = scene.layers().run(Run::shell("make").mount(RunMount::bind("/c").source("conf")));
        assert_eq!(scene.names(&mounted), ["conf/a.toml"]);
        let agent = scene.layers().run(Run::shell("git fetch").mount(RunMount::ssh()));
        assert_eq!(scene.names(&agent), [""; 0]);
        let based = Layers::new().from(Base::definition(&copied)).copy("/dev/null", "/x");
        assert_eq!(based.sources().unwrap_err().kind(), ErrorKind::NotFound);
        let based = Layers::new().from(Base::definition(&copied));
        assert_eq!(scene.names(&based), ["src/main.rs"]);
        let embedded =
            scene.layers().instruction(Copy::of("a").to("/a").embedded(Embedded::new().file("a", 0o644, b"a")));
        assert_eq!(scene.names(&embedded), [""; 0]);
        // A stage that the image does not need is not looked at.
        let unused = Layers::new().from("debian:12").stage("a").copy("none", "/").from("debian:12");
        assert_eq!(scene.names(&unused), [""; 0]);
        let error = scene.layers().copy("conf/b.toml", "/").sources().unwrap_err();
        assert!(error.to_string().contains("did you mean \"conf/a.toml\"?"), "{error}");
    }

    #[test]
    fn a_digest_is_that_of_all_content() {
        let (one, other) = (Scene::new(), Scene::new());
        let layers = |scene: &Scene| scene.layers().copy("src", "/src/").copy("conf", "/conf/");
        let first = layers(&one).digest().unwrap();
        assert_eq!(first, layers(&other).digest().unwrap(), "the place of the files counts");
        other.write("src/x.md", "ignored");
        other.write("b.log", "ignored");
        assert_eq!(first, layers(&other).digest().unwrap(), "ignored files count");
        assert_ne!(first, layers(&other).cmd(["x"]).digest().unwrap());
        other.write("src/main.rs", "Main");
        assert_ne!(first, layers(&other).digest().unwrap());
        // What it is based on, too.
        let based = |scene: &Scene| Layers::new().from(Base::definition(layers(scene))).digest().unwrap();
        assert_ne!(based(&one), based(&other));
    }

    #[test]
    fn programs_of_the_host_count_with_their_content() {
        let scene = Scene::new();
        let program = scene.0.path().join("tool");
        fs::copy("/bin/true", &program).unwrap();
        let layers = Layers::new().from(Base::host([program.to_str().unwrap()]));
        let first = layers.digest().unwrap();
        assert_eq!(first, layers.digest().unwrap());
        let mut content = fs::read(&program).unwrap();
        content.push(0);
        fs::write(&program, content).unwrap();
        assert_ne!(first, layers.digest().unwrap());
    }
}
