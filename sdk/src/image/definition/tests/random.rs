//! Definitions made at random, whatever the builder accepts, print as Dockerfiles that read back to them.
//!
//! `PLYWOOD_FUZZ_ROUNDS=100` makes a hundred times as many.

use super::*;

/// A fixed generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    /// Text of pieces that mean something to one reader or another.
    fn text(&mut self) -> String {
        const PIECES: [&str; 52] = [
            "a",
            "b",
            "C",
            "0",
            "é",
            "make",
            "x y",
            " ",
            "  ",
            "\t",
            "\n",
            "\r",
            "\"",
            "'",
            "\\",
            "\\\\",
            "\\n",
            "$",
            "$A",
            "${A}",
            "${A:-x y}",
            "\\$A",
            "#",
            "# escape=`",
            "# plywood: embed",
            "<",
            "<<",
            "<<E",
            "<<\"E\"",
            "E",
            "EOF",
            "[",
            "]",
            "[\"a\"]",
            "{",
            "}",
            "(",
            ")",
            ",",
            "=",
            ":",
            "/",
            ".",
            "-",
            "--x",
            "*",
            "?",
            "␤",
            "⏎",
            "|",
            "&&",
            ";",
        ];
        (0..=self.below(5)).map(|_| self.pick(&PIECES)).collect()
    }

    fn texts(&mut self) -> Vec<String> {
        (0..=self.below(3)).map(|_| self.text()).collect()
    }

    fn command(&mut self) -> Command {
        match self.below(3) {
            0 => Command::exec(self.texts()),
            1 => Command::all(self.texts()),
            _ => Command::shell(self.text()),
        }
    }

    fn base(&mut self, stages: &[String], depth: usize) -> Base {
        match self.below(6) {
            0 => Base::scratch(),
            1 if depth < 2 => Base::definition(self.definition(depth + 1)),
            2 => Base::host(self.texts()),
            3 | 4 if !stages.is_empty() => Base::stage(&stages[self.below(stages.len())]),
            5 => Base::image(self.pick(&["one", "two", "docker.io/library/one", "0", "$A"])),
            _ => {
                Base::image(self.pick(&[
                    "debian:12",
                    "a/b@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                ]))
            }
        }
    }

    fn mount(&mut self, stages: &[String]) -> RunMount {
        let mut mount = match self.below(5) {
            0 => RunMount::cache(self.text()).sharing(self.pick(&["shared", "private", "locked"])),
            1 => RunMount::tmpfs(self.text()).size("64m"),
            2 => RunMount::secret(self.text()).required(),
            3 => RunMount::ssh(),
            _ => RunMount::bind(self.text()).source(self.text()),
        };
        if mount.kind() == MountKind::Bind && self.chance(2) {
            mount = mount.from(self.base(stages, 2));
        }
        if self.chance(3) { mount.read_only() } else { mount }
    }

    fn embedded(&mut self) -> Embedded {
        let mut files = Embedded::new();
        for _ in 0..self.below(3) {
            let (path, content) = (self.text(), self.text());
            files = match self.below(4) {
                0 => files.directory(path, 0o755),
                1 => files.link(path, content),
                2 => files.file(path, 0o4711, vec![0xff, self.below(256) as u8]),
                _ => files.file(path, 0o644, content.into_bytes()),
            };
        }
        files
    }

    fn copy(&mut self, stages: &[String], depth: usize) -> Copy {
        let mut copy = match self.below(4) {
            0 => Copy::inline(self.text()),
            1 => Copy::template(self.text()),
            _ => Copy::of(self.texts()),
        };
        let (name, text) = (self.text(), self.text());
        copy = match self.below(6) {
            0 => copy.and_inline(name, text),
            1 => copy.and_template(name, text),
            _ => copy,
        };
        copy = copy.to(if self.chance(2) { self.text() } else { format!("/{}/", self.text()) });
        // What is of `COPY` alone.
        let is_add = depth == usize::MAX;
        copy = match self.below(6) {
            0 if !is_add => copy.from(self.base(stages, depth)),
            1 => copy.embedded(self.embedded()),
            _ => copy,
        };
        copy = if self.chance(4) { copy.chown(self.text()) } else { copy };
        copy = if self.chance(4) { copy.chmod(self.pick(&["0755", "u=rwX,go=rX", "$A"])) } else { copy };
        copy = if self.chance(4) { copy.link() } else { copy };
        copy = if self.chance(4) && !is_add { copy.parents() } else { copy };
        if self.chance(4) { copy.exclude(self.text()).exclude(self.text()) } else { copy }
    }

    fn health_check(&mut self) -> HealthCheck {
        if self.chance(5) {
            return HealthCheck::none();
        }
        let mut check = HealthCheck::cmd(self.command());
        let time = Duration::from_millis(1 + self.below(10_000_000) as u64);
        check = if self.chance(2) { check.interval(time) } else { check };
        check = if self.chance(2) { check.start_period(time * 3) } else { check };
        if self.chance(2) { check.retries(1 + self.below(9) as u32) } else { check }
    }

    /// One that stands after a `FROM`.
    fn instruction(&mut self, stages: &[String], depth: usize) -> Instruction {
        const NAMES: [&str; 4] = ["A", "B", "with.dot", "LONG_NAME"];
        match self.below(18) {
            0 => Instruction::arg(self.pick(&NAMES), self.text()),
            1 => Instruction::arg_required(self.pick(&NAMES)),
            2 => Instruction::env(self.pick(&NAMES), self.text()),
            3 => Instruction::envs([("A", self.text()), ("B", self.text())]),
            4 => Instruction::label(self.pick(&NAMES), self.text()),
            5 => Instruction::labels([("a.b", self.text()), ("c", self.text())]),
            6 => Instruction::workdir(self.text()),
            7 => Instruction::user(self.text()),
            8 => Instruction::expose(self.pick(&["80", "53/udp", "8000-8010", "$A"])),
            9 => Instruction::volume(self.texts()),
            10 => Instruction::entrypoint(self.command()),
            11 => Instruction::cmd(self.command()),
            12 => Instruction::shell(self.texts()),
            13 => Instruction::stop_signal(self.pick(&["SIGINT", "9", "$A"])),
            14 => self.health_check().into(),
            15 => self.copy(stages, depth).into(),
            16 => {
                let mut add = Add::sharing(self.copy(&[], usize::MAX));
                add = if self.chance(2) { add.keep_git_dir() } else { add };
                (if self.chance(2) { add.no_unpack() } else { add.unpack() }).into()
            }
            _ => {
                let mut run = match self.below(3) {
                    0 => Run::exec(self.texts()),
                    1 => Run::all(self.texts()),
                    _ => Run::shell(self.text()),
                };
                for _ in 0..self.below(3) {
                    run = run.mount(self.mount(stages));
                }
                run = if self.chance(4) { run.network("none") } else { run };
                (if self.chance(4) { run.security("insecure") } else { run }).into()
            }
        }
    }

    /// A definition of which nothing is a mistake.
    fn definition(&mut self, depth: usize) -> Layers {
        let mut layers = Layers::new();
        if self.chance(2) {
            layers = self.add(layers, |random, layers| layers.arg("A", random.text()));
        }
        let mut stages: Vec<String> = Vec::new();
        for index in 0..=self.below(3) {
            let name = self.pick(&["one", "two", "Build", "3x", ""]);
            let is_new = !stages.iter().any(|stage| stage.eq_ignore_ascii_case(name));
            let before = layers.clone();
            layers = self.add(layers, |random, layers| {
                let mut layers = layers.from(random.base(&stages, depth));
                layers = if random.chance(4) { layers.platform("linux/amd64") } else { layers };
                if is_new && !name.is_empty() { layers.stage(name) } else { layers }
            });
            if layers == before {
                layers = layers.from("debian:12");
            }
            stages.push(layers.last_stage().unwrap_or_else(|| index.to_string()));
            layers = layers.arg("A", "x");
            for _ in 0..self.below(6) {
                let earlier = &stages[..index];
                layers = self.add(layers, |random, layers| {
                    let instruction = random.instruction(earlier, depth);
                    // What a trigger does is not checked where it is recorded.
                    let alone = layers.clone().instruction(instruction.clone());
                    if random.chance(8) && alone.check().is_ok() { layers.on_build(instruction) } else { alone }
                });
            }
        }
        layers
    }

    /// Adds something, if that is no mistake.
    fn add(&mut self, layers: Layers, add: impl Fn(&mut Self, Layers) -> Layers) -> Layers {
        let more = add(self, layers.clone());
        let has_from = more.instructions.iter().any(|instruction| matches!(instruction, Instruction::From(_)));
        let whole = if has_from { more.clone() } else { more.clone().from("debian:12") };
        if whole.check().is_ok() { more } else { layers }
    }
}

impl Layers {
    fn last_stage(&self) -> Option<String> {
        self.instructions.iter().rev().find_map(|instruction| match instruction {
            Instruction::From(from) => Some(from.stage().map(str::to_owned)),
            _ => None,
        })?
    }
}

#[test]
fn any_definition_reads_back() {
    let rounds: usize = std::env::var("PLYWOOD_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = Random(0x5851_f42d_4c95_7f2d);
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..500 * rounds {
        let layers = random.definition(0);
        kinds.extend(layers.instructions.iter().map(Instruction::keyword));
        reads_back(&layers);
    }
    assert_eq!(kinds.len(), plywood_syntax::grammar::KEYWORDS.len(), "{kinds:?}");
}
