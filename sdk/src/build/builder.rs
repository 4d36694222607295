//! Executes a plan: one stage after the other, one step after the other.

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::container::debug::failures_stay;
use crate::data_root::InFlight;
use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::host;
use crate::image::images::Images;
use crate::image::{Base, Instruction, Layers};
use crate::layer::view::{NodeKind, View};
use crate::layer::{LayerStore, StagedLayer};
use crate::spec::{ChainId, ContainerPath, Digest, Platform, Timestamp};
use crate::sys::userns;
use crate::sys::within::{ENTER, within};

use super::cache::{Cache, Key, Record};
use super::commit::Draft;
use super::context::{Chosen, Context};
use super::copy::Found;
use super::event::Event;
use super::left::leave;
use super::options::Options;
use super::owner;
use super::plan::{Ground, Plan, bases, is_step};
use super::run::{self, MountSource, Scene};
use super::scope::{Given, Globals};
use super::state::{CopyWork, MountWork, RunWork, Work, set_variable};
use super::tree::{self, Files, Tree};
use super::trigger;
use super::unpack::Unpacker;
use super::writer::{Attributes, Writer};

/// How long to wait for another builder of the same step before making it as well.
const PATIENCE: Duration = Duration::from_secs(600);

/// One build, with all definitions that it needs.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    images: &'a Images,
    options: &'a Options,
    given: Rc<Given>,
    cache: Cache<'a>,
    platform: Platform,
    /// Steps so far, of how many, and how many of them were there already.
    number: Cell<usize>,
    total: usize,
    cached: Cell<usize>,
}

/// One definition while it is built.
#[derive(Debug)]
struct Project<'a> {
    definition: &'a Layers,
    plan: Plan<'a>,
    context_path: PathBuf,
    chosen: Chosen,
    context: OnceCell<Rc<Context>>,
    /// The stages so far; `None` for one that is not needed.
    drafts: Vec<Option<Draft>>,
}

/// What an instruction reads from.
struct Origin {
    tree: Rc<dyn Tree>,
    /// The stack that has the files, which says all about them; none for the build context.
    stack: Option<String>,
    _pin: Option<InFlight>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(images: &'a Images, options: &'a Options, given: Rc<Given>) -> Self {
        let cache = Cache::new(images.layers(), !options.no_cache);
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        Self { images, options, given, cache, platform, number: Cell::new(0), total: 0, cached: Cell::new(0) }
    }

    /// Builds the definition that the options are about.
    pub(super) fn build(&mut self, definition: &Layers) -> Result<Draft> {
        self.options.resources.check(self.options.mistake.as_deref())?;
        let target = self.options.target.as_deref();
        self.total = self.count(definition, target)?;
        self.definition(definition, target, self.options.context.as_deref())
    }

    /// How many steps there were, and how many of them were there already.
    pub(super) fn steps(&self) -> (usize, usize) {
        (self.number.get(), self.cached.get())
    }

    fn layers(&self) -> &'a LayerStore {
        self.images.layers()
    }

    fn plan<'d>(&self, definition: &'d Layers, target: Option<&str>) -> Result<Plan<'d>> {
        Plan::new(definition, Globals::new(Rc::clone(&self.given)).platforms(&self.platform), target)
    }

    /// Counts the steps, and finds out before anything is executed whether the definition is right and all images are
    /// there.
    fn count(&self, definition: &Layers, target: Option<&str>) -> Result<usize> {
        definition.check()?;
        let plan = self.plan(definition, target)?;
        let mut total = 0;
        for (index, stage) in plan.stages.iter().enumerate().filter(|(_, stage)| stage.is_needed) {
            total += match &stage.ground {
                Ground::Scratch => 0,
                Ground::Host(_) => 1,
                Ground::Stage(earlier) => plan.stages[*earlier].triggers().filter(|trigger| is_step(trigger)).count(),
                Ground::Image(name) => {
                    let image = self.images.find(name)?;
                    let triggers = image.config().config.on_build.iter();
                    1 + triggers.filter(|text| trigger::parse(text, &[]).is_ok_and(|t| is_step(&t))).count()
                }
                Ground::Definition(other) => {
                    let plan = self.plan(other, None)?;
                    let triggers = plan.stages[plan.target].triggers().filter(|trigger| is_step(trigger)).count();
                    self.count(other, None)? + triggers
                }
            };
            for (_, instruction) in &stage.instructions {
                total += usize::from(is_step(instruction));
                for base in bases(instruction) {
                    total += match plan.ground_of(base, index)? {
                        Ground::Definition(other) => self.count(other, None)?,
                        Ground::Host(_) => 1,
                        Ground::Image(name) => self.images.find(&name).map(|_| 0)?,
                        Ground::Scratch | Ground::Stage(_) => 0,
                    };
                }
            }
        }
        Ok(total)
    }

    fn definition(&self, definition: &Layers, target: Option<&str>, context: Option<&Path>) -> Result<Draft> {
        let plan = self.plan(definition, target)?;
        let (path, chosen) = match context {
            Some(path) => (path, Chosen::ByCaller),
            None => (definition.context_dir().unwrap_or(Path::new(".")), Chosen::ByDefinition),
        };
        let (context_path, drafts) = (path.to_owned(), Vec::new());
        let mut project = Project { definition, plan, context_path, chosen, context: OnceCell::new(), drafts };
        for index in 0..project.plan.stages.len() {
            let draft = match project.plan.stages[index].is_needed {
                true => Some(self.stage(&project, index)?),
                false => None,
            };
            project.drafts.push(draft);
        }
        let target = project.drafts.get_mut(project.plan.target).and_then(Option::take);
        target.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "build image: the target was not built"))
    }

    fn stage(&self, project: &Project<'_>, index: usize) -> Result<Draft> {
        let stage = &project.plan.stages[index];
        let mut draft = self.ground(project, &stage.ground, stage.platform.as_ref())?;
        let stages: Vec<&str> = project.plan.stages.iter().filter_map(|stage| stage.name).collect();
        for text in draft.state.take_triggers() {
            let instruction = trigger::parse(&text, &stages)?;
            self.instruction(project, index, &mut draft, &instruction)?;
        }
        for (place, instruction) in &stage.instructions {
            self.instruction(project, index, &mut draft, instruction).map_err(|error| {
                match (error.hint(), project.definition.place(*place)) {
                    (None, Some(place)) => error.with_hint(format_args!("the instruction is at {place}")),
                    _ => error,
                }
            })?;
        }
        Ok(draft)
    }

    /// What a stage begins with.
    fn ground(&self, project: &Project<'_>, ground: &Ground<'_>, platform: Option<&Platform>) -> Result<Draft> {
        let globals = &project.plan.globals;
        match ground {
            Ground::Scratch => {
                let mut draft = Draft::scratch(platform.unwrap_or(&self.platform), globals);
                set_variable(&mut draft.state.config.env, "PATH", super::state::DEFAULT_PATH);
                Ok(draft)
            }
            Ground::Host(programs) => self.host(programs, globals),
            Ground::Stage(earlier) => match project.drafts.get(*earlier).and_then(Option::as_ref) {
                Some(earlier) => Draft::on_stage(self.layers(), earlier),
                None => Err(not_built()),
            },
            Ground::Definition(other) => Ok(Draft::on_definition(self.definition(other, None, None)?, globals)),
            Ground::Image(name) => {
                let image = self.images.find(name)?;
                if let Some(want) = platform.or(self.options.platform.as_ref())
                    && !want.accepts(&image.platform())
                {
                    let message = format!("FROM {name}: the image is for {}, and wanted is {want}", image.platform());
                    return Err(Error::new(ErrorKind::InvalidArgument, message));
                }
                self.tell_step(&format!("FROM {name}"), true);
                Draft::on_image(self.layers(), image.config(), globals)
            }
        }
    }

    /// A base of programs of the host: one layer.
    fn host(&self, programs: &[String], globals: &Globals) -> Result<Draft> {
        let plan = host::plan(programs)?;
        let mut key = Key::new("host", None);
        key.text(plan.fingerprint()?.as_str());
        let mut draft = Draft::scratch(&self.platform, globals);
        set_variable(&mut draft.state.config.env, "PATH", &plan.search_path);
        let text = format!("FROM host programs {}", programs.join(" "));
        self.layer(&mut draft, &text, &[key.finish()], |_, staged| host::write(&plan, staged.diff()).map(drop))?;
        Ok(draft)
    }

    fn instruction(
        &self,
        project: &Project<'_>,
        index: usize,
        draft: &mut Draft,
        instruction: &Instruction,
    ) -> Result<()> {
        let step = draft.state.step(instruction)?;
        match &step.work {
            Work::None => {
                draft.add_empty(&step.text);
                Ok(())
            }
            Work::Workdir(path) => self.workdir(draft, path, &step.text),
            Work::Run(work) => self.run(project, index, draft, work, &step.text),
            Work::Copy(work) => self.copy(project, index, draft, work, &step.text),
        }
    }

    fn workdir(&self, draft: &mut Draft, path: &ContainerPath, text: &str) -> Result<()> {
        let view = self.layers().view(draft.top())?;
        let node = within(|| view.resolve(path.as_str())).attempt(|| ENTER)??;
        if node.is_some_and(|node| node.kind == NodeKind::Dir) {
            self.tell_step(text, true);
            draft.add_empty(text);
            return Ok(());
        }
        let mut key = Key::new("workdir", draft.top());
        key.text(path.as_str());
        self.layer(draft, text, &[key.finish()], |top, staged| {
            let mut writer = self.writer(top, staged)?;
            writer.directory(Path::new(path.as_str()), Some((0, 0)))?;
            writer.finish()
        })
    }

    fn copy(
        &self,
        project: &Project<'_>,
        index: usize,
        draft: &mut Draft,
        work: &CopyWork<'_>,
        text: &str,
    ) -> Result<()> {
        let origin = match &work.embedded {
            Some(files) => Origin { tree: Rc::new(files.clone()), stack: None, _pin: None },
            None => self.origin(project, index, work.from).map_err(|error| work.about(error))?,
        };
        let tree = &*origin.tree;
        let found = within(|| Found::new(tree, work)).attempt(|| ENTER)??;
        let keeps_owners = origin.stack.is_some();
        let mut keys = Vec::new();
        let mut seen = Vec::new();
        if let Some(stack) = &origin.stack {
            // Files of a known stack need not be read to know that they are the same.
            let mut key = work.key("copy from stack", draft.top());
            key.text(stack);
            keys.push(key.finish());
        }
        if !keys.iter().any(|key| self.cache.get(key).is_some()) {
            let mut key = work.key("copy", draft.top());
            seen = within(|| found.digest(tree, keeps_owners, key.digester())).attempt(|| ENTER)??;
            keys.push(key.finish());
        }
        self.layer(draft, text, &keys, |top, staged| {
            let below = self.layers().view(top)?;
            let owner = match &work.owner {
                Some(owner) => Some(owner::resolve(&below, owner)?),
                None => (!keeps_owners).then_some((0, 0)),
            };
            let attributes = Attributes { owner, mode: work.mode.clone() };
            let options = self.layers().apply_options(Default::default());
            let unpacker = Unpacker { layers: self.layers(), options };
            let mut writer = self.writer(top, staged)?;
            let copied = found.copy(tree, work, &attributes, &mut writer, &unpacker);
            // Files of a stage or image stay as they are.
            if origin.stack.is_none() {
                found.check_unchanged(tree, work.keyword, seen)?;
            }
            copied?;
            writer.finish()
        })
    }

    fn run(
        &self,
        project: &Project<'_>,
        index: usize,
        draft: &mut Draft,
        work: &RunWork<'_>,
        text: &str,
    ) -> Result<()> {
        let mut key = Key::new("run", draft.top());
        key.list(&work.args);
        key.list(&work.env);
        key.list([work.user.as_str(), work.directory.as_str()]);
        key.text(format!("{:?}", run::network(work, self.options)?));
        key.list(self.options.mounts.iter().map(|mount| mount.target().as_str()));
        let mut sources = Vec::new();
        let mut origins = Vec::new();
        for mount in &work.mounts {
            key.list(mount.facts());
            if !run::has_source(mount.mount.kind()) {
                sources.push(None);
                continue;
            }
            let origin = self.origin(project, index, mount.mount.base())?;
            let source = within(|| mount_source(&origin, mount)).attempt(|| ENTER)??;
            match &origin.stack {
                Some(stack) => key.text(stack),
                None => {
                    let source = tree::Source { path: PathBuf::new(), prefix: 0, entry: source.entry.clone() };
                    let digester = key.digester();
                    within(|| tree::digest(&*origin.tree, &source, &Default::default(), false, digester))
                        .attempt(|| ENTER)??;
                }
            }
            sources.push(Some(source));
            origins.push(origin);
        }
        let key = key.finish();
        let options = self.options;
        let scene = |top: Option<&ChainId>| Scene { layers: self.layers(), parent: top.cloned(), options, sources };
        let left = failures_stay().then(|| Draft::on_stage(self.layers(), draft)).transpose()?;
        self.layer_by(draft, text, &[key], |top| {
            let number = self.number.get();
            let ran = run::run(&scene(top), work, text, &mut |stream, line| {
                self.options.listener.tell(&Event::Output { number, stream, line: line.to_owned() });
            })?;
            match (ran.failure, left) {
                (None, _) => Ok(ran.staged),
                (Some(error), None) => Err(error),
                (Some(error), Some(left)) => Err(leave(self.images, left, ran.staged, text, error)),
            }
        })
    }

    /// Adds a layer: the one that the cache has, or a new one with what `fill` writes.
    fn layer(
        &self,
        draft: &mut Draft,
        text: &str,
        keys: &[Digest],
        fill: impl FnOnce(Option<&ChainId>, &StagedLayer) -> Result<()>,
    ) -> Result<()> {
        self.layer_by(draft, text, keys, |top| {
            let staged = self.layers().stage(top)?;
            within(|| fill(top, &staged)).attempt(|| ENTER)??;
            Ok(staged)
        })
    }

    /// Adds a layer: the one that the cache has under one of the keys, or the one that `make` makes.
    fn layer_by(
        &self,
        draft: &mut Draft,
        text: &str,
        keys: &[Digest],
        make: impl FnOnce(Option<&ChainId>) -> Result<StagedLayer>,
    ) -> Result<()> {
        if self.add_cached(draft, text, keys)? {
            return Ok(());
        }
        // Builders of the same step do it once, in whatever program they are: the others find it made. Who waits in
        // vain, or cannot wait, makes a layer of its own, which does no harm.
        let turn = keys.first().map(|key| format!("pin-step-{}", key.hex()));
        let _turn = turn.and_then(|name| self.layers().root().in_flight(&name, PATIENCE).ok());
        if self.add_cached(draft, text, keys)? {
            return Ok(());
        }
        self.tell_step(text, false);
        let staged = make(draft.top())?;
        let layer = self.layers().commit(staged)?;
        let record = Record { chain_id: layer.chain_id().clone(), created: Timestamp::now(), step: text.to_owned() };
        if let Err(error) = keys.iter().try_for_each(|key| self.cache.put(key, &record)) {
            // Nothing names it now.
            let released = self.images.release(std::iter::once(layer.chain_id()).filter(|_| layer.is_new()));
            return Err(released.err().into_iter().fold(error, Error::with_clean_up));
        }
        draft.add_layer(self.layers(), &layer, record.created, text)
    }

    /// Adds the layer that the cache has under one of the keys, if it has one.
    fn add_cached(&self, draft: &mut Draft, text: &str, keys: &[Digest]) -> Result<bool> {
        let Some((layer, record)) = keys.iter().find_map(|key| self.cache.get(key)) else { return Ok(false) };
        match draft.add_layer(self.layers(), &layer, record.created, text) {
            // Removed by somebody in this moment: it is made again.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            added => added?,
        };
        self.tell_step(text, true);
        keys.iter().try_for_each(|key| self.cache.put_new(key, &record))?;
        Ok(true)
    }

    fn tell_step(&self, text: &str, cached: bool) {
        self.number.set(self.number.get() + 1);
        self.cached.set(self.cached.get() + usize::from(cached));
        let (number, total) = (self.number.get(), self.total.max(self.number.get()));
        self.options.listener.tell(&Event::Step { number, total, text: text.to_owned(), cached });
    }

    fn writer(&self, top: Option<&ChainId>, staged: &StagedLayer) -> Result<Writer> {
        Writer::new(self.layers().view_of(staged)?, &self.layers().view(top)?, staged.diff(), userns::keeps_owners())
    }

    /// What an instruction of a stage reads from.
    fn origin(&self, project: &Project<'_>, index: usize, base: Option<&Base>) -> Result<Origin> {
        let Some(base) = base else {
            let tree = project.context()?;
            return Ok(Origin { tree, stack: None, _pin: None });
        };
        let files = |top: Option<ChainId>, title: String, pin| -> Result<Origin> {
            let tree = Rc::new(Files { view: self.layers().view(top.as_ref())?, title });
            let stack = Some(top.as_ref().map_or("scratch", ChainId::as_str).to_owned());
            Ok(Origin { tree, stack, _pin: pin })
        };
        match project.plan.ground_of(base, index)? {
            Ground::Scratch => {
                let tree =
                    Rc::new(Files { view: View::new(Vec::new(), self.layers().xattrs()), title: "scratch".into() });
                Ok(Origin { tree, stack: Some("scratch".into()), _pin: None })
            }
            Ground::Stage(earlier) => match project.drafts.get(earlier).and_then(Option::as_ref) {
                Some(draft) => {
                    let name = project.plan.stages[earlier].name;
                    files(
                        draft.top().cloned(),
                        format!("stage {:?}", name.map_or(earlier.to_string(), str::to_owned)),
                        None,
                    )
                }
                None => Err(not_built()),
            },
            Ground::Image(name) => {
                let draft = Draft::on_image(self.layers(), self.images.find(&name)?.config(), &project.plan.globals)?;
                files(draft.top().cloned(), format!("image {name:?}"), draft.into_pin())
            }
            Ground::Host(programs) => {
                let draft = self.host(programs, &project.plan.globals)?;
                files(draft.top().cloned(), "the programs of the host".into(), draft.into_pin())
            }
            Ground::Definition(other) => {
                let draft = self.definition(other, None, None)?;
                files(draft.top().cloned(), "the other definition".into(), draft.into_pin())
            }
        }
    }
}

impl Project<'_> {
    /// Opened when it is needed for the first time.
    fn context(&self) -> Result<Rc<Context>> {
        if let Some(context) = self.context.get() {
            return Ok(Rc::clone(context));
        }
        let context =
            Rc::new(Context::open(&self.context_path, self.chosen, self.definition.ignore_file().as_deref())?);
        Ok(Rc::clone(self.context.get_or_init(|| context)))
    }
}

fn mount_source(origin: &Origin, mount: &MountWork<'_>) -> Result<MountSource> {
    let tree = &origin.tree;
    let about = |error: Error| {
        let message = format!("RUN --mount=type=bind: {:?} of {}: {error}", mount.source, tree.title());
        Error::new(error.kind(), message)
    };
    let entry = tree.resolve(Path::new(&mount.source)).map_err(about)?;
    let refusal = match &entry {
        Some(entry) => tree.refuses(entry),
        None => Some("not found".to_owned()),
    };
    match (entry, refusal) {
        (Some(entry), None) => Ok(MountSource { tree: Rc::clone(tree), entry, keeps_owners: origin.stack.is_some() }),
        (_, why) => Err(about(Error::new(ErrorKind::NotFound, why.unwrap_or_default()))),
    }
}

fn not_built() -> Error {
    Error::new(ErrorKind::InvalidArgument, "build image: a stage is used that does not come before")
}
