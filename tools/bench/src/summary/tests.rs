use super::*;
use crate::testing;

/// Goal: the summary of a known run says its rates, its percentiles as they are, its verdict and its durability.
#[test]
fn a_known_run() {
    let run = testing::run(1, 1.0);
    let text = render(&run);
    assert!(text.starts_with("latency: VALID  durability: fsync\n"), "{text}");
    let put = text.lines().find(|line| line.starts_with("put ")).unwrap();
    assert_eq!(put.split_whitespace().collect::<Vec<_>>(), ["put", "3,000", "3.07", "MB/s", "120,000"]);
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let latency = row("put-ack  ");
    for p in [50.0, 90.0, 99.0, 99.9] {
        let value = human::duration(run.latency.put_ack.percentile(p).unwrap());
        assert!(latency.contains(&value), "p{p} {value}: {latency}");
    }
    assert!(row("put-ack, actual").contains(&human::percentile(&run.latency.put_ack_actual, 99.9)));
    assert!(text.contains("errors: 0 failed, 0 outcome unknown, 0 without outcome; 3 retries"));
    assert!(text.contains("verification, group 0: ok: 120,000 received, 0 lost"));
}

/// Goal: a percentile with fewer than 100 samples above it is a dash, and the dash is explained.
#[test]
fn too_few_samples_are_a_dash() {
    let run = testing::run(1, 1.0);
    assert_eq!(run.latency.put_ack.percentile(99.99), None);
    let text = render(&run);
    let row = text.lines().find(|line| line.starts_with("put-ack  ")).unwrap();
    let cells: Vec<_> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[cells.len() - 2], "-", "{row}");
    assert!(text.contains(human::ABSENT_NOTE));
}

/// Goal: a closed loop is marked at the head, the load, and every row of figures; a bad run names its reasons.
#[test]
fn closed_and_bad_runs_are_marked() {
    let mut run = testing::run(1, 1.0);
    run.verdict.closed_loop = true;
    run.workload.load.closed = Some(crate::workload::Closed { in_flight: 64 });
    run.verdict.invalid.push("2 % of the records were sent late by the generator".to_owned());
    run.verdict.saturated = true;
    run.verification = None;
    let text = render(&run);
    assert!(text.starts_with("latency: INVALID, SATURATED  CLOSED LOOP  durability"), "{text}");
    assert!(text.contains("2 % of the records were sent late"));
    assert!(text.contains("NOT VERIFIED"));
    assert!(!text.contains("send lag"), "a closed loop has none");
    let figures = text.lines().filter(|line| ["put", "get,"].iter().any(|name| line.starts_with(name)));
    let figures: Vec<_> = figures.collect();
    assert_eq!(figures.len(), 6, "{figures:?}");
    for line in figures {
        assert!(line.contains("(CLOSED)"), "{line}");
    }
}

/// Goal: runs and searches are told apart by what they hold; other files and later schemas are refused by name.
#[test]
fn loading() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, value: serde_json::Value| {
        let path = dir.path().join(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path
    };
    let run = testing::run(1, 1.0);
    let path = write("run.json", serde_json::to_value(&run).unwrap());
    assert!(matches!(load_file(&path).unwrap(), Loaded::Run(read) if *read == run));
    let path = write("sweep.json", serde_json::to_value(testing::sweep()).unwrap());
    assert!(matches!(load_file(&path).unwrap(), Loaded::Sweep(read) if read.probes.len() == 6));
    let later = write("later.json", serde_json::json!({"schema": SCHEMA + 1}));
    let other = write("other.json", serde_json::json!({"name": "package"}));
    for path in [later, other, dir.path().join("absent.json")] {
        let error = format!("{:#}", load_file(&path).unwrap_err());
        assert!(error.contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    }
}
