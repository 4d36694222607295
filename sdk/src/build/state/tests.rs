#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::build::scope::Given;
use crate::image::{Add, HealthCheck, Layers, Values};

fn run_all(definition: &Layers, given: &[(&str, &str)]) -> (State, Vec<String>) {
    let given: BTreeMap<String, String> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut state = State::new(Config::default(), Globals::new(Given::new(given)));
    let texts = definition.instructions().iter().map(|instruction| state.step(instruction).unwrap().text).collect();
    (state, texts)
}

fn run_work(state: &State, run: &Run) -> (Vec<String>, Vec<String>) {
    let work = state.run(run).unwrap();
    (work.args, work.env)
}

#[test]
fn instructions_fill_the_configuration() {
    let definition = Layers::new()
        .env("A", "1")
        .label("k", "$A")
        .workdir("/srv")
        .workdir("app/../web")
        .user("app")
        .expose(8080)
        .expose("7000-7001/udp")
        .volume("/data/")
        .shell(["/bin/bash", "-c"])
        .entrypoint(["serve"])
        .cmd("go")
        .stop_signal("SIGINT")
        .health_check(HealthCheck::cmd("check").retries(3));
    let (state, texts) = run_all(&definition, &[]);
    let config = state.config;
    assert_eq!(config.env, ["A=1"]);
    assert_eq!(config.labels["k"], "1");
    assert_eq!(config.working_dir, "/srv/web");
    assert_eq!(config.user, "app");
    assert_eq!(config.exposed_ports.iter().collect::<Vec<_>>(), ["7000/udp", "7001/udp", "8080/tcp"]);
    assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/data"]);
    assert_eq!(config.entrypoint.unwrap(), ["serve"]);
    assert_eq!(config.cmd.unwrap(), ["/bin/bash", "-c", "go"]);
    assert_eq!(config.stop_signal.unwrap(), "SIGINT");
    let check = config.healthcheck.unwrap();
    assert_eq!((check.test, check.retries), (vec!["CMD-SHELL".to_owned(), "check".to_owned()], 3));
    assert_eq!(texts[0], "ENV A=1");
    assert_eq!(texts[9], "ENTRYPOINT [\"serve\"]");
}

#[test]
fn entrypoint_drops_an_inherited_command_and_keeps_an_own_one() {
    let base = Config { cmd: Some(vec!["inherited".into()]), ..Config::default() };
    let step = |state: &mut State, definition: &Layers| {
        for instruction in definition.instructions() {
            state.step(instruction).unwrap();
        }
    };
    let mut state = State::new(base.clone(), Globals::default());
    step(&mut state, &Layers::new().entrypoint(["e"]));
    assert_eq!(state.config.cmd, None);
    let mut state = State::new(base, Globals::default());
    step(&mut state, &Layers::new().cmd(["own"]).entrypoint(["e"]));
    assert_eq!(state.config.cmd.as_deref(), Some(&["own".to_owned()][..]));
    // In a stage on that stage the command is inherited again.
    let mut state = State::on(&state);
    step(&mut state, &Layers::new().entrypoint(["f"]));
    assert_eq!(state.config.cmd, None);
}

#[test]
fn all_values_of_one_env_see_the_environment_before_it() {
    let definition = Layers::new().env("A", "old").envs([("A", "new"), ("B", "$A")]).env("PATH", "/opt/bin:$PATH");
    let (state, _) = run_all(&definition, &[]);
    assert_eq!(state.config.env, ["A=new", "B=old", &format!("PATH=/opt/bin:{DEFAULT_PATH}")]);
}

#[test]
fn arguments_reach_later_instructions_and_runs_but_not_the_image() {
    let definition = Layers::new().arg("V", "1").arg("W", "${V}x").arg_required("U").env("E", "$W$U");
    let (state, _) = run_all(&definition, &[("V", "2")]);
    assert_eq!(state.config.env, ["E=2x"]);
    let (args, env) = run_work(&state, &Run::shell("make"));
    assert_eq!(args, ["/bin/sh", "-c", "make"]);
    assert_eq!(env, ["E=2x", "V=2", "W=2x", &format!("PATH={DEFAULT_PATH}")]);
}

#[test]
fn env_wins_over_arg() {
    let (state, _) = run_all(&Layers::new().env("A", "env").arg("A", "arg").label("l", "$A"), &[("A", "given")]);
    assert_eq!(state.config.labels["l"], "env");
    assert_eq!(run_work(&state, &Run::shell("x")).1[0], "A=env");
}

#[test]
fn proxies_reach_runs_apart_from_the_environment() {
    let (state, _) = run_all(&Layers::new(), &[("http_proxy", "p")]);
    let run = Run::shell("x");
    let work = state.run(&run).unwrap();
    assert_eq!(work.proxies, ["http_proxy=p"]);
    assert!(!work.env.iter().any(|entry| entry.contains("proxy")));
}

#[test]
fn destinations_are_relative_to_the_working_directory() {
    let (state, _) = run_all(&Layers::new().workdir("/app"), &[]);
    for (written, path, is_directory) in [
        ("x", "/app/x", false),
        ("x/", "/app/x", true),
        (".", "/app", true),
        ("./", "/app", true),
        ("/", "/", true),
        ("../y", "/y", false),
        ("/a/b", "/a/b", false),
    ] {
        let copy = Copy::of("f").to(written);
        let work = state.copy("COPY", &copy, false).unwrap();
        let expected = Destination { path: ContainerPath::parse(path).unwrap(), is_directory };
        assert_eq!(work.destination, expected, "{written}");
    }
}

#[test]
fn several_sources_need_a_directory() {
    let (state, _) = run_all(&Layers::new(), &[]);
    let copy = Copy::of(Values::from(["a", "b"])).to("/x");
    let error = state.copy("COPY", &copy, false).unwrap_err();
    let message = "build image: COPY: several sources need a directory to go into (write \"/x/\")";
    assert_eq!(error.to_string(), message);
}

#[test]
fn the_history_tells_steps_as_docker_does() {
    let definition = Layers::new()
        .run("make all")
        .run(["ls", "-l"])
        .copy("app.py", "/app/")
        .instruction(Copy::of("a").to("b").chown("app").chmod("0755"))
        .instruction(Add::of("x.tar").to("/"));
    let (_, texts) = run_all(&definition, &[]);
    let expected = [
        "RUN /bin/sh -c make all",
        "RUN ls -l",
        "COPY app.py /app/",
        "COPY --chown=app --chmod=0755 a /b",
        "ADD x.tar /",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn triggers_are_recorded_and_taken_once() {
    let (mut state, texts) = run_all(&Layers::new().on_build(Instruction::Workdir("/x".into())), &[]);
    assert_eq!(texts, ["ONBUILD WORKDIR /x"]);
    assert_eq!(state.config.on_build, ["WORKDIR /x"]);
    assert_eq!(state.take_triggers(), ["WORKDIR /x"]);
    assert!(state.config.on_build.is_empty());
}

#[test]
fn what_cannot_be_is_refused() {
    for instruction in [
        Instruction::Expose(vec!["0/tcp".into()]),
        Instruction::Expose(vec!["9-1/tcp".into()]),
        Instruction::Volume(vec!["relative".into()]),
        Instruction::Shell(Vec::new()),
        Instruction::Run(Run::exec(Values::default())),
        Instruction::Run(Run::shell("x").security("insecure")),
        Instruction::Run(Run::shell("x").mount(RunMount::new(MountKind::Cache))),
        Instruction::Copy(Copy::of("a").to("b").chmod("0999")),
        Instruction::Workdir("${".into()),
    ] {
        let mut state = State::new(Config::default(), Globals::default());
        let error = state.step(&instruction).unwrap_err();
        assert!(error.to_string().starts_with("build image: "), "{error}");
    }
}
