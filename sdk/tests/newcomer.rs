//! What somebody who comes from Docker types at first: it works, or says what to do instead.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, require_busybox};

#[test]
fn words_of_docker_lead_to_those_of_plywood() {
    let bench = Bench::new();
    for (arguments, parts) in [
        (&["help"][..], &["unknown command \"help\"", "`plywood --help`"][..]),
        (&["version"], &["`plywood --version`"]),
        (&["port", "web"], &["`plywood ps`"]),
        (&["container", "ls"], &["leave this word out"]),
        (&["network", "create", "blue"], &["not yet", "container:NAME"]),
        (&["exec", "web"], &["exec in container \"web\": a command is missing", "plywood exec web sh"]),
        (&["ps", "--format", "{{.Names}}"], &["templates are not read", "--format json"]),
        (&["ps", "--filter", "status=up"], &["created, running, paused"]),
        (&["start", "--attach", "a", "b"], &["one container"]),
        (&["run", "--network", "bridge", "box:1"], &["unknown network \"bridge\"", "container:NAME"]),
    ] {
        let (code, text) = bench.fails(arguments);
        assert_eq!(code, 125, "{arguments:?}: {text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{arguments:?}: {text}");
    }
}

#[test]
fn an_unknown_flag_is_not_to_be_taken_for_a_value() {
    let (code, text) = Bench::new().fails(&["run", "--gpus", "all", "box:1"]);
    assert!(code == 125 && text.contains("'--gpus'") && !text.contains("-- --gpus"), "{text}");
}

#[test]
fn an_image_of_another_tag_and_an_option_behind_the_image_are_pointed_out() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["tag", "box:1", "box:2"]);
    let (code, text) = bench.fails(&["run", "--rm", "box"]);
    assert!(code == 125 && text.contains("there is `box:1`, `box:2`; without a tag, `latest` is meant"), "{text}");
    let (code, text) = bench.fails(&["run", "--rm", "box:3"]);
    assert!(code == 125 && text.trim_end().ends_with("there is `box:1`, `box:2`"), "{text}");
    let (code, text) = bench.fails(&["run", "box:1", "--rm"]);
    assert!(code == 127 && text.contains("hint: options of plywood stand before the image"), "{text}");
}

#[test]
fn several_containers_are_started_and_each_is_stopped_in_its_own_time() {
    require_busybox!();
    let bench = Bench::with_image();
    let script = "trap 'sleep 8; exit 5' TERM; echo ready; while :; do sleep 60 & wait; done";
    for (name, time) in [("quick", "0"), ("slow", "60")] {
        bench.ok(&["create", "--name", name, "--stop-timeout", time, "box:1", "sh", "-c", script]);
    }
    assert_eq!(bench.ok(&["start", "quick", "slow"]), "quick\nslow\n");
    for name in ["quick", "slow"] {
        assert_eq!(bench.start(&["logs", "-f", name]).read_line(), "ready");
    }
    bench.ok(&["stop", "quick"]);
    assert_eq!(bench.ok(&["wait", "quick"]), "137\n", "killed before it could end by itself");
    bench.ok(&["stop", "-t", "0", "slow"]);
    assert_eq!(bench.ok(&["wait", "slow"]), "137\n", "what is asked for goes before what it was made with");
    bench.ok(&["rm", "quick", "slow"]);
}
