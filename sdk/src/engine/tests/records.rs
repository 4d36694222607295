//! What is on disk: Docker's files as dockerd wants them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::support::{engine, image, require_containers};
use crate::container::{NetworkMode, Signal};
use crate::{Container, Engine, Mount};

fn read(engine: &Engine, id: &str, name: &str) -> Value {
    let path = engine.path().join("containers").join(id).join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_files_are_what_dockerd_wants() {
    let (engine, _) = engine();
    let config = json!({
        "Entrypoint": ["/bin/sh"], "Cmd": ["-c", "true"], "Env": ["A=1"], "Labels": { "of": "image" },
        "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/srv/data": {} }, "WorkingDir": "/srv", "StopSignal": "SIGINT",
    });
    let image = image(&engine, "web:1", config);
    let source = tempfile::tempdir().unwrap();
    let container = Container::of(&image)
        .name("web")
        .env("B", "2")
        .label("of-definition", "yes")
        .mount(Mount::bind(source.path(), "/b").read_only())
        .mount(Mount::volume("named", "/n"))
        .mount(Mount::tmpfs("/t").size(4096_u64))
        .create(&engine)
        .unwrap();
    let id = container.id().as_str();
    let written = read(&engine, id, "config.v2.json");
    assert_eq!(written["ID"], id);
    assert_eq!(written["Name"], "/web");
    assert_eq!(written["Driver"], "overlay2");
    assert_eq!(written["Image"], image.id().as_str());
    assert_eq!((&written["Path"], &written["Args"]), (&json!("/bin/sh"), &json!(["-c", "true"])));
    assert_eq!(written["NetworkSettings"]["Networks"], json!({ "none": { "EndpointID": "" } }));
    assert_eq!(written["LogPath"], "");
    let state = &written["State"];
    assert_eq!((&state["Running"], &state["Pid"]), (&json!(false), &json!(0)));
    assert_eq!(
        (&state["StartedAt"], &state["FinishedAt"]),
        (&json!("0001-01-01T00:00:00Z"), &json!("0001-01-01T00:00:00Z"))
    );
    let config = &written["Config"];
    assert_eq!(config["Hostname"], container.id().short());
    assert_eq!(config["Image"], "web:1");
    assert_eq!(config["Env"], json!(["B=2", "A=1"]));
    assert_eq!(config["Labels"], json!({ "of": "image", "of-definition": "yes" }));
    assert_eq!((&config["WorkingDir"], &config["StopSignal"]), (&json!("/srv"), &json!("SIGINT")));
    assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&json!(["/bin/sh"]), &json!(["-c", "true"])));
    let points = &written["MountPoints"];
    assert_eq!(points["/srv/data"]["Spec"], json!({}));
    assert_eq!((&points["/n"]["Name"], &points["/n"]["Source"]), (&json!("named"), &json!("")));
    assert_eq!(points["/n"]["Spec"], json!({ "Type": "volume", "Source": "named", "Target": "/n" }));
    assert!(points["/n"].get("Relabel").is_none());
    assert_eq!((&points["/b"]["Type"], &points["/b"]["RW"]), (&json!("bind"), &json!(false)));
    let host = read(&engine, id, "hostconfig.json");
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert_eq!((&host["AutoRemove"], &host["NetworkMode"]), (&json!(false), &json!("none")));
    assert_eq!(host["Tmpfs"], json!({ "/t": "size=4096,mode=1777" }));
    assert_eq!(host["Binds"], json!([format!("{}:/b:ro", source.path().display())]));
    assert!(host.get("MaskedPaths").is_none());
}

#[test]
fn r22_the_modes_are_dockers() {
    let (engine, image) = engine();
    let container = Container::of(&image).create(&engine).unwrap();
    let directory = engine.path().join("containers").join(container.id().as_str());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&directory), 0o710);
    let table = [
        ("config.v2.json", 0o600),
        ("hostconfig.json", 0o644),
        ("plywood.json", 0o600),
        ("hostname", 0o644),
        ("hosts", 0o644),
        ("resolv.conf", 0o644),
    ];
    for (name, expected) in table {
        assert_eq!(mode(&directory.join(name)), expected, "{name}");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), table.len());
}

#[test]
fn a_running_container_does_not_run_for_docker() {
    require_containers!();
    let (engine, image) = engine();
    let mut container = Container::of(&image).cmd(["sleep", "1000"]).start(&engine).unwrap();
    container.persist().unwrap();
    let id = container.id().as_str().to_owned();
    let state = &read(&engine, &id, "config.v2.json")["State"];
    assert_eq!((&state["Running"], &state["Pid"]), (&json!(false), &json!(0)));
    assert!(read(&engine, &id, "plywood.json")["run"]["pid"].as_u64().is_some());
    container.kill(Signal::KILL).unwrap();
    assert_eq!(container.wait().unwrap().code(), 137);
    let written = read(&engine, &id, "config.v2.json");
    assert_eq!((&written["State"]["ExitCode"], &written["HasBeenStartedBefore"]), (&json!(137), &json!(true)));
    assert!(read(&engine, &id, "plywood.json").get("run").is_none());
    container.remove().unwrap();
}

#[test]
fn inspect_has_the_shape_of_docker() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image)
        .name("job")
        .cmd(["sh", "-c", "exit 3"])
        .network(NetworkMode::None)
        .start(&engine)
        .unwrap();
    assert_eq!(container.wait().unwrap().code(), 3);
    let details = container.inspect().unwrap();
    let json = serde_json::to_value(&details).unwrap();
    assert_eq!(
        (&json["Name"], &json["State"]["Status"], &json["State"]["ExitCode"]),
        (&json!("/job"), &json!("exited"), &json!(3))
    );
    assert_eq!(json["HostConfig"]["NetworkMode"], "none");
    assert!(details.started_at() < details.finished_at());
    assert_eq!(details.network(), NetworkMode::None);
    assert_eq!(details.command(), ["sh", "-c", "exit 3"]);
}

#[test]
fn r13_labels_of_an_image_are_text_and_nothing_else() {
    require_containers!();
    let (engine, _) = engine();
    let labels =
        json!({ "plywood.guard": "false", "com.docker.x": "binary:///bin/sh", "io.containerd.x": "file:///etc" });
    let image = image(&engine, "evil", json!({ "Cmd": ["true"], "Labels": labels }));
    let container = Container::of(&image).start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    assert_eq!(serde_json::to_value(container.inspect().unwrap().labels()).unwrap(), labels);
    drop(container);
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn an_image_in_use_is_not_removed_and_its_users_are_named() {
    let (engine, image) = engine();
    let container = Container::of(&image).name("web").create(&engine).unwrap();
    let error = engine.remove_image("busybox").unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::InUse);
    assert!(error.to_string().contains("\"web\""), "{error}");
    drop(container);
    engine.remove_image("busybox").unwrap();
    assert!(engine.images().unwrap().is_empty());
}
