use clap::Parser;

use super::*;
use crate::testing;

/// With 12,000 records: enough for p99.
fn run(seed: u64, slower: f64) -> crate::result::RunResult {
    testing::run_at(300, seed, slower)
}

fn samples(seeds: std::ops::Range<u64>, slower: f64) -> Vec<Sample> {
    seeds.map(|seed| Sample::of_run(&run(seed, slower))).collect()
}

fn meaning(comparison: &Comparison, name: &str) -> Meaning {
    comparison.rows.iter().find(|row| row.metric.name == name).unwrap().meaning
}

fn gate(text: &str) -> Gate {
    text.parse().unwrap()
}

/// Goal: five runs that are 20 % slower are worse than five others; what did not change is noise; gates follow.
#[test]
fn a_real_difference_is_seen() {
    let comparison = Comparison::new(&samples(0..5, 1.0), &samples(5..10, 1.2));
    assert_eq!(comparison.obstacles, [""; 0]);
    assert!(matches!(meaning(&comparison, "put_ack_p50"), Meaning::Differs { chance } if chance < 0.008));
    assert_eq!(meaning(&comparison, "put_records_per_s"), Meaning::Noise);
    assert_eq!(comparison.gate(&gate("put_ack_p50=10")).0, Outcome::Broke);
    assert_eq!(comparison.gate(&gate("put_ack_p50=50")).0, Outcome::Held);
    let text = comparison.render();
    let row = text.lines().find(|line| line.starts_with("put_ack_p50")).unwrap();
    assert!(row.contains("+19.") || row.contains("+20.") || row.contains("+18."), "{row}");
    assert!(row.contains("worse (chance 0.8 %)"), "{row}");
    // The other way round it is better, and no gate breaks.
    let back = Comparison::new(&samples(5..10, 1.2), &samples(0..5, 1.0));
    assert_eq!(back.gate(&gate("put_ack_p50=0")).0, Outcome::Held);
    assert!(back.render().contains("better (chance 0.8 %)"));
}

/// Goal: runs of one kind are noise, however the medians happen to lie.
#[test]
fn equals_are_noise() {
    let comparison = Comparison::new(&samples(0..5, 1.0), &samples(5..10, 1.0));
    for row in &comparison.rows {
        assert_eq!(row.meaning, Meaning::Noise, "{}", row.metric.name);
        assert_eq!(comparison.gate(&Gate { metric: row.metric, limit: 0.0 }).0, Outcome::Held);
    }
}

/// Goal: few runs are at most "apart", with the chance beside it; one run never means anything, whatever the change.
#[test]
fn few_runs_are_told_apart_from_many() {
    let few = Comparison::new(&samples(0..3, 1.0), &samples(3..6, 2.0));
    assert_eq!(meaning(&few, "put_ack_p50"), Meaning::Apart { chance: 0.1 });
    assert!(few.render().contains("apart, worse; few runs (chance 10.0 %)"));
    assert_eq!(few.gate(&gate("put_ack_p50=50")).0, Outcome::Broke);

    for (a, b) in [(samples(0..1, 1.0), samples(1..2, 9.0)), (samples(0..5, 1.0), samples(5..6, 9.0))] {
        let one = Comparison::new(&a, &b);
        assert!(one.rows.iter().all(|row| row.meaning == Meaning::OneRun));
        assert_eq!(one.gate(&gate("put_ack_p99=10")).0, Outcome::Undecided);
        assert_eq!(one.gate(&gate("put_records_per_s=10")).0, Outcome::Held);
        let text = one.render();
        assert!(text.contains("one run: cannot tell") && !text.contains("chance"), "{text}");
    }
}

/// Goal: a percentile that a run does not have is not compared, and a gate on it is undecided, not held.
#[test]
fn absent_figures_are_not_held() {
    let mut short = run(1, 1.0);
    short.latency.put_ack = Default::default();
    let mut runs = samples(0..4, 1.0);
    runs.push(Sample::of_run(&short));
    let comparison = Comparison::new(&samples(5..10, 1.0), &runs);
    assert!(!comparison.rows.iter().any(|row| row.metric.name.starts_with("put_ack")));
    assert_eq!(comparison.gate(&gate("put_ack_p99=10")).0, Outcome::Undecided);
}

/// Goal: bad runs and sides that are not alike are not compared quietly; another seed or version is alike.
#[test]
fn unlike_sides_are_named() {
    let base = run(1, 1.0);
    let mut other = base.clone();
    other.workload.seed = 99;
    other.tool_version = "9".to_owned();
    other.target.server = "millstream 9".to_owned();
    other.run_id = 2;
    let obstacles = |other: &crate::result::RunResult| {
        Comparison::new(&[Sample::of_run(&base)], &[Sample::of_run(other)]).obstacles.join("\n")
    };
    assert_eq!(obstacles(&other), "");
    other.target.durability = "interval".to_owned();
    other.workload.batch.records = 7;
    other.verdict.invalid.push("late".to_owned());
    let text = obstacles(&other);
    for part in
        ["durability: fsync / interval", "not alike in workload", "B has a run that cannot be used: INVALID: late"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(obstacles(&base).contains("run 0000000000000001 is there twice"));
}

/// Goal: from no errors to some is worse, without a division by zero.
#[test]
fn errors_from_zero() {
    let mut failing = run(1, 1.0);
    failing.put.failed = 3;
    let bad: Vec<_> = (0..5).map(|_| Sample::of_run(&failing)).collect();
    let comparison = Comparison::new(&samples(0..5, 1.0), &bad);
    assert_eq!(comparison.gate(&gate("put_errors=1000")).0, Outcome::Broke);
    assert!(comparison.render().contains("from 0"));
}

/// Goal: the command reads files and directories, leaves out what is no result, and its exit codes are those of the help.
#[test]
fn files_directories_and_exit_codes() {
    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }
    let dir = tempfile::tempdir().unwrap();
    for (side, slower, seeds) in [("a", 1.0, 0..5), ("b", 1.3, 5..10)] {
        fs::create_dir(dir.path().join(side)).unwrap();
        for seed in seeds {
            let json = serde_json::to_string(&run(seed, slower)).unwrap();
            fs::write(dir.path().join(side).join(format!("{seed}.json")), json).unwrap();
        }
        fs::write(dir.path().join(side).join("disk.json"), "{\"schema\": 1, \"rows\": []}").unwrap();
        fs::write(dir.path().join(side).join("notes.txt"), "x").unwrap();
    }
    let code = |a: &str, b: &str, more: &[&str]| {
        let paths = [a, b].map(|path| dir.path().join(path).to_str().unwrap().to_owned());
        let args = Command::parse_from(
            [&["compare".to_owned()][..], &paths, &more.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>()].concat(),
        );
        main(&args.args).map(|code| format!("{code:?}")).unwrap_or_else(|error| format!("{error:#}"))
    };
    let expected = |code: u8| format!("{:?}", ExitCode::from(code));
    assert_eq!(code("a", "b", &[]), expected(0));
    assert_eq!(code("a", "b", &["--gate", "put_ack_p50=10"]), expected(5));
    assert_eq!(code("b", "a", &["--gate", "put_ack_p50=10"]), expected(0));
    assert_eq!(code("a/0.json", "b/5.json", &["--gate", "put_ack_p50=10", "--gate", "put_errors=1"]), expected(4));
    assert_eq!(code("a/0.json", "b", &["--gate", "put_ack_p50=10%"]), expected(4));
    assert!(code("a", "absent.json", &[]).contains("absent.json"));
    for wrong in ["put_ack_p50", "nothing=5", "put_ack_p50=x", "put_ack_p50=-1"] {
        assert!(wrong.parse::<Gate>().is_err(), "{wrong}");
    }
}

/// Goal: searches are compared by the rate they found.
#[test]
fn searches() {
    let sweep = testing::sweep();
    let mut less = sweep.clone();
    less.best_rate = Some(12_000.0);
    let comparison = Comparison::new(&[Sample::of_sweep(&sweep)], &[Sample::of_sweep(&less)]);
    assert_eq!(comparison.rows.len(), 1);
    assert!((comparison.rows[0].worsening() - 0.2).abs() < 1e-9);
}
