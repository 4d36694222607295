//! What instructions of a stage say to each other, and where `FROM` points.

use super::Checker;
use super::transfer::needs_lookup;
use crate::ast::{Body, Command, Instruction, Named, Origin, Text};
use crate::finding::{Finding, Place};
use crate::{path, port, reference, suggest};

/// Most layers of an image: what overlayfs can stack in one page of mount options.
const MOST_LAYERS: usize = 125;

/// Platforms that images are made for.
const PLATFORMS: [&str; 11] = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v5",
    "linux/arm/v6",
    "linux/arm/v7",
    "linux/386",
    "linux/ppc64le",
    "linux/s390x",
    "linux/riscv64",
    "linux/loong64",
    "linux/mips64le",
];

/// What is known at one point of a stage.
#[derive(Clone, Default)]
struct Stage<'a> {
    name: Option<&'a str>,
    /// From `scratch`, with nothing copied into it yet.
    is_empty: bool,
    /// A working directory is set, or known to be the root.
    has_workdir: bool,
    layers: usize,
    /// The instruction of the first layer that is one too many.
    over: Option<Place>,
    ports: Vec<(String, Place)>,
    volumes: Vec<(String, Place)>,
    /// Of `CMD`, `ENTRYPOINT`, `HEALTHCHECK`.
    last: [Option<Place>; 3],
}

impl<'a> Checker<'a> {
    pub(super) fn stages(&mut self) {
        let mut done: Vec<Stage<'a>> = Vec::new();
        let mut stage = Stage::default();
        let mut begun = false;
        for instruction in self.instructions {
            if let Body::From(Named { text, name }) = &instruction.body {
                let next = self.begin(text, name.as_ref(), done.iter().chain(begun.then_some(&stage)));
                if begun {
                    self.too_many(&stage);
                    done.push(stage);
                }
                stage = next;
                begun = true;
            } else if begun {
                self.in_stage(instruction, &mut stage);
            }
        }
        self.too_many(&stage);
    }

    fn begin<'s>(
        &self,
        base: &Text,
        name: Option<&'a Text>,
        mut before: impl Iterator<Item = &'s Stage<'a>>,
    ) -> Stage<'a>
    where
        'a: 's,
    {
        let name = name.map(|name| name.value.as_str());
        let scratch = self.origin(base) == Origin::Scratch;
        match before.find(|stage| stage.name == Some(base.value.as_str()) && self.origin(base) == Origin::Stage) {
            // What a stage exposes or runs may be said again by one that is based on it.
            Some(parent) => Stage {
                name,
                is_empty: parent.is_empty,
                has_workdir: parent.has_workdir,
                layers: parent.layers,
                ..Stage::default()
            },
            None => Stage { name, is_empty: scratch, has_workdir: scratch, ..Stage::default() },
        }
    }

    fn in_stage(&mut self, instruction: &'a Instruction, stage: &mut Stage<'a>) {
        let place = instruction.place;
        match &instruction.body {
            Body::Workdir(path) => {
                let relative = path.plain().filter(|value| !value.starts_with(['/', '~']));
                if let Some(value) = relative.filter(|_| !stage.has_workdir) {
                    let message = format!("`WORKDIR {value}` is relative to a directory that the base image decides");
                    self.report(
                        Finding::error("relative_workdir", path.place, message).help(format!("WORKDIR \"/{value}\";")),
                    );
                }
                stage.has_workdir = true;
                layer(stage, place);
            }
            Body::Run(command) => {
                if stage.is_empty && matches!(command, Command::Shell(_)) {
                    self.report(
                        Finding::error("no_shell", place, "`RUN \"…\"` needs a shell, and `scratch` has none")
                            .help("copy one in first, or use the array form"),
                    );
                }
                stage.is_empty = false;
                layer(stage, place);
            }
            Body::Copy(transfer) | Body::Add(transfer) => {
                if let Some(owner) =
                    instruction.flag_text("chown").filter(|owner| stage.is_empty && needs_lookup(owner))
                {
                    self.in_scratch("owner_in_scratch", owner, "use numbers: --chown=\"1000:1000\"");
                }
                let destination = &transfer.destination;
                let relative = destination.plain().filter(|value| !value.starts_with(['/', '~']));
                if let Some(value) = relative.filter(|_| !stage.has_workdir) {
                    let clean = value.trim_start_matches("./");
                    let message = format!("destination `{value}` is relative, and no `WORKDIR` is set before it");
                    let help = format!("write it from the root, `\"/{clean}\"`, or set `WORKDIR` first");
                    self.report(Finding::error("relative_destination", destination.place, message).help(help));
                }
                stage.is_empty = false;
                layer(stage, place);
            }
            Body::User(user) if stage.is_empty && needs_lookup(user) => {
                self.in_scratch("user_in_scratch", user, "USER 1000;");
            }
            Body::Expose(ports) => {
                for port in ports {
                    let Some(Ok(parsed)) = port.text.plain().map(port::parse) else { continue };
                    for key in parsed.each() {
                        let shown = key.strip_suffix("/tcp").unwrap_or(&key).to_owned();
                        let what = format!("port {shown} is already exposed");
                        self.once("duplicate_port", &mut stage.ports, key, port.text.place, &what);
                    }
                }
            }
            Body::Volume(paths) => {
                for path in paths {
                    let Some(value) = path.text.plain().filter(|value| value.starts_with('/')) else { continue };
                    let what = format!("`{value}` is already a volume");
                    self.once(
                        "duplicate_volume",
                        &mut stage.volumes,
                        path::resolve("/", value),
                        path.text.place,
                        &what,
                    );
                }
            }
            Body::Cmd(_) => self.overridden(instruction, &mut stage.last[0]),
            Body::Entrypoint(_) => self.overridden(instruction, &mut stage.last[1]),
            Body::HealthCheck(_) => self.overridden(instruction, &mut stage.last[2]),
            _ => {}
        }
    }

    fn too_many(&mut self, stage: &Stage<'a>) {
        let Some(place) = stage.over else { return };
        let message = format!("this stage adds {} layers, and an image has at most {MOST_LAYERS}", stage.layers);
        self.report(Finding::error("too_many_layers", place, message).help("join `RUN`s with `&&`"));
    }

    fn in_scratch(&mut self, name: &'static str, owner: &Text, help: &str) {
        let who = owner.value.split(':').find(|part| part.parse::<u32>().is_err()).unwrap_or_default();
        let message = format!("`scratch` has no /etc/passwd to look `{who}` up in");
        self.report(Finding::error(name, owner.place, message).help(help));
    }

    fn once(&mut self, name: &'static str, seen: &mut Vec<(String, Place)>, key: String, place: Place, what: &str) {
        match seen.iter().find(|(before, _)| *before == key) {
            Some((_, first)) => {
                let line = self.on_line(*first);
                let line = if line.is_empty() { line } else { format!(",{line}") };
                self.report(Finding::error(name, place, format!("{what}{line}")));
            }
            None => seen.push((key, place)),
        }
    }

    fn overridden(&mut self, instruction: &Instruction, last: &mut Option<Place>) {
        if let Some(earlier) = last.replace(instruction.place) {
            let line = self.on_line(instruction.place);
            let keyword = instruction.keyword();
            let message = format!("only the last `{keyword}` of a stage counts, and there is another{line}");
            self.report(Finding::error("overridden", earlier, message).help("remove this one"));
        }
    }

    /// The base of a stage, and its platform.
    pub(super) fn from(&mut self, instruction: &Instruction, base: &Text) {
        match self.origin(base) {
            Origin::Image => {
                if let Some(value) = base.plain()
                    && let Err(problem) = reference::parse(value)
                {
                    self.problem(problem, base);
                }
            }
            Origin::Stage => self.stage_before(base, instruction.place),
            Origin::Unknown => self.unknown_stage(base, instruction.place),
            Origin::Scratch | Origin::StageNumber | Origin::Type | Origin::Value => {}
        }
        if let Some(platform) = instruction.flag_text("platform")
            && let Some(value) = platform.plain()
        {
            self.platform(platform, value);
        }
    }

    fn platform(&mut self, platform: &Text, value: &str) {
        let known = PLATFORMS.contains(&value) || value.starts_with("windows/") || value == "linux/arm64/v8";
        if !known {
            let short = |known: &&&str| known.strip_prefix("linux/") == Some(value);
            let help = match PLATFORMS.iter().find(short) {
                Some(full) => Some(format!("did you mean `{full}`?")),
                None => suggest::did_you_mean(value, PLATFORMS),
            };
            let finding = Finding::error("unknown_platform", platform.place, format!("unknown platform `{value}`"));
            self.report(finding.maybe_help(help));
        }
    }

    /// Checks that a stage that exists stands before its use, in the instruction at `place`.
    pub(super) fn stage_before(&mut self, name: &Text, place: Place) {
        let froms: Vec<(&Instruction, Option<&Text>)> = self
            .instructions
            .iter()
            .filter_map(|instruction| match &instruction.body {
                Body::From(named) => Some((instruction, named.name.as_ref())),
                _ => None,
            })
            .collect();
        let Some(at) = froms.iter().position(|(_, stage)| stage.is_some_and(|stage| stage.value == name.value)) else {
            return;
        };
        let (from, _) = froms[at];
        let ends = froms.get(at + 1).map(|(next, _)| next.place);
        if from.place >= place {
            let line = self.on_line(from.place);
            let line = if line.is_empty() { line } else { format!("; it is{line}") };
            let message = if from.place == place {
                format!("stage `{}` cannot be its own base", name.value)
            } else {
                format!("stage `{}` comes after its use{line}", name.value)
            };
            let check = if from.place == place { "stage_itself" } else { "stage_later" };
            let finding = Finding::error(check, name.place, message);
            self.report(if check == "stage_later" { finding.help("move it up") } else { finding });
        } else if ends.is_none_or(|end| place < end) {
            let message = format!("stage `{}` cannot copy from itself", name.value);
            self.report(Finding::error("stage_itself", name.place, message));
        }
    }

    pub(super) fn unknown_stage(&mut self, name: &Text, place: Place) {
        let before = self.instructions.iter().filter(|instruction| instruction.place < place);
        let names: Vec<&str> = before
            .filter_map(|instruction| match &instruction.body {
                Body::From(Named { name: Some(name), .. }) => Some(name.value.as_str()),
                _ => None,
            })
            .chain(["scratch"])
            .collect();
        let help = suggest::did_you_mean(&name.value, names)
            .unwrap_or_else(|| format!("an image is written as a string: \"{}\"", name.value));
        let message = format!("no stage named `{}` before this one", name.value);
        self.report(Finding::error("unknown_stage", name.place, message).help(help));
    }
}

/// One more layer, which `place` adds.
fn layer(stage: &mut Stage<'_>, place: Place) {
    stage.layers += 1;
    if stage.layers > MOST_LAYERS {
        stage.over.get_or_insert(place);
    }
}
