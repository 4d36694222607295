#![allow(clippy::unwrap_used)]
use super::*;

fn check(test: &[&str]) -> Option<Check> {
    let check = HealthCheck { test: test.iter().map(|word| (*word).to_owned()).collect(), ..HealthCheck::default() };
    Check::of(&Process { healthcheck: merge(Some(&check), None), ..Process::default() })
}

fn result(exit_code: i32) -> HealthResult {
    HealthResult { start: Timestamp::now(), end: Timestamp::now(), exit_code, output: exit_code.to_string() }
}

#[test]
fn the_test_is_read_as_docker_reads_it() {
    assert_eq!(check(&["CMD", "test", "-e", "/up"]).unwrap().argv, ["test", "-e", "/up"]);
    assert_eq!(check(&["CMD-SHELL", "a || b"]).unwrap().argv, ["/bin/sh", "-c", "a || b"]);
    for none in [&["NONE"][..], &[], &["CMD"], &["CMD-SHELL"], &["SOMETHING", "else"]] {
        assert!(check(none).is_none(), "{none:?}");
    }
    let check = check(&["CMD", "true"]).unwrap();
    assert_eq!((check.interval, check.timeout, check.retries), (Duration::from_secs(30), Duration::from_secs(30), 3));
}

#[test]
fn a_definition_says_what_the_image_does_not() {
    let image = HealthCheck { test: vec!["CMD".into(), "a".into()], retries: 7, ..HealthCheck::default() };
    let own = HealthCheck {
        test: vec!["CMD".into(), "b".into()],
        interval: Duration::from_secs(1),
        ..HealthCheck::default()
    };
    let merged = Process { healthcheck: merge(Some(&own), Some(&image)), ..Process::default() };
    let merged = Check::of(&merged).unwrap();
    assert_eq!((merged.argv, merged.interval, merged.retries), (vec!["b".to_owned()], own.interval, 7));
    let off = HealthCheck { test: vec!["NONE".into()], ..HealthCheck::default() };
    assert!(Check::of(&Process { healthcheck: merge(Some(&off), Some(&image)), ..Process::default() }).is_none());
    assert!(Check::of(&Process { healthcheck: merge(None, Some(&image)), ..Process::default() }).is_some());
}

#[test]
fn failures_count_in_a_row_and_not_in_the_start_period() {
    let mut check = check(&["CMD", "true"]).unwrap();
    check.start_period = Duration::from_secs(10);
    let (early, late) = (Duration::from_secs(9), Duration::from_secs(10));
    let mut health = Health::starting();
    let table = [
        (1, early, HealthStatus::Starting, 0),
        (1, late, HealthStatus::Starting, 1),
        (0, early, HealthStatus::Healthy, 0),
        // Once it has worked, the start is over.
        (1, early, HealthStatus::Healthy, 1),
        (2, late, HealthStatus::Healthy, 2),
        (3, late, HealthStatus::Unhealthy, 3),
        (4, late, HealthStatus::Unhealthy, 4),
        (0, late, HealthStatus::Healthy, 0),
    ];
    for (code, age, status, streak) in table {
        health.take(result(code), &check, age);
        assert_eq!((health.status, health.failing_streak), (status, streak), "{code} at {age:?}");
    }
    assert_eq!(health.log.iter().map(|result| result.exit_code).collect::<Vec<_>>(), [1, 2, 3, 4, 0]);
    assert_eq!(check.pause(HealthStatus::Starting, early), Duration::from_secs(5));
    assert_eq!(check.pause(HealthStatus::Starting, late), Duration::from_secs(30));
    assert_eq!(check.pause(HealthStatus::Healthy, early), Duration::from_secs(30));
}

#[test]
fn what_docker_has_written_is_read_and_the_reverse() {
    let text = r#"{"Status":"unhealthy","FailingStreak":3,"Log":[{"Start":"2024-01-02T03:04:05Z","End":"2024-01-02T03:04:06Z",
        "ExitCode":1,"Output":"no"}]}"#;
    let value: Value = serde_json::from_str(text).unwrap();
    let mut state = RecordedState::default();
    state.other.insert(HEALTH.to_owned(), value.clone());
    let health = Health::of(&state).unwrap();
    assert_eq!((health.status, health.failing_streak, health.log[0].exit_code), (HealthStatus::Unhealthy, 3, 1));
    health.record(&mut state);
    assert_eq!(state.other[HEALTH], value);
    state.other.insert(HEALTH.to_owned(), serde_json::json!({ "Status": "starting", "Log": null }));
    assert_eq!(Health::of(&state), Some(Health::starting()));
    state.other.insert(HEALTH.to_owned(), serde_json::json!({ "Status": "none" }));
    assert_eq!(Health::of(&state), None);
}
