use super::*;
use crate::stats::PERCENTILES;
use crate::testing;

fn count(page: &str, part: &str) -> usize {
    page.matches(part).count()
}

/// Goal: a page loads nothing: no address, no reference to a file, no import; and it forbids itself to.
#[test]
fn pages_are_self_contained() {
    for page in [run_page(&testing::run(1, 1.0)), sweep_page(&testing::sweep())] {
        for load in [
            "http://", "https://", "//cdn", " src=", " href=", "url(", "@import", "<link", "<img", "<iframe", "fetch(",
            "import(",
        ] {
            assert_eq!(count(&page, load), 0, "the page has `{load}`");
        }
        assert!(page.contains("default-src 'none'"));
        assert_eq!((count(&page, "<html"), count(&page, "</html>")), (1, 1));
        assert_eq!(count(&page, "<svg"), count(&page, "</svg>"));
        assert_eq!(count(&page, "<figure"), count(&page, "</figure>"));
        assert!(!page.contains("NaN") && !page.contains("inf "), "a number that is none was drawn");
    }
}

/// Goal: every percentile that the JSON gives stands in the page, as do rates, counts, environment and durability.
#[test]
fn the_numbers_are_those_of_the_json() {
    let run = testing::run(1, 1.0);
    let json = serde_json::to_value(&run).unwrap();
    let page = run_page(&run);
    for latency in ["put_ack", "put_ack_actual", "put_to_get", "put_to_get_actual"] {
        let given = json["latency"][latency]["percentiles"].as_array().unwrap();
        assert!(given.len() >= 6, "the sample has too few percentiles to test: {given:?}");
        for each in given {
            let text = human::duration(each["ns"].as_u64().unwrap());
            assert!(page.contains(&format!("<td>{text}</td>")), "{latency} p{} = {text}", each["percentile"]);
        }
        let max = human::duration(json["latency"][latency]["max_ns"].as_u64().unwrap());
        assert!(page.contains(&format!("<td>{max}</td>")), "{latency} max = {max}");
    }
    let texts = [
        format!("<strong>{}/s</strong>", human::rate(json["put"]["records_per_s"].as_f64().unwrap())),
        format!("<dd>{}</dd>", human::count(json["put"]["acked"].as_u64().unwrap())),
        "durability: fsync".to_owned(),
        "<dd>AMD EPYC 9654</dd>".to_owned(),
        "<dt>segment bytes</dt><dd>unknown</dd>".to_owned(),
        "<dd>same machine, loopback</dd>".to_owned(),
        ">VALID<".to_owned(),
    ];
    for text in texts {
        assert!(page.contains(&text), "{text}");
    }
}

/// Goal: no percentile is in the page that has fewer than 100 samples above it, neither as number nor in a curve.
#[test]
fn nothing_is_said_of_too_few_samples() {
    let run = testing::run(1, 1.0);
    let samples = run.latency.put_ack.count;
    let absent: Vec<_> = PERCENTILES.iter().filter(|p| (100.0 - **p) / 100.0 * (samples as f64) < 99.5).collect();
    assert!(!absent.is_empty());
    let page = run_page(&run);
    for p in absent {
        assert!(!page.contains(&format!("<th>p{p}</th>")), "p{p} of {samples}");
        assert!(!page.contains(&format!("&quot;{p} %&quot;")), "p{p} of {samples} under the pointer");
    }
    let highest = plots::curve_points(&run.latency.put_ack).last().unwrap().0;
    let allowed = -(100.0 / samples as f64).log10();
    assert!((highest - allowed).abs() < 1e-9, "the curve ends at {highest}, not where 100 samples are left: {allowed}");
}

/// Goal: the curve of known samples goes through their percentiles.
#[test]
fn the_curve_is_the_percentiles() {
    let run = testing::run(3, 1.0);
    let distribution = &run.latency.put_to_get;
    let points = plots::curve_points(distribution);
    assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 < b.1 || a.1 == b.1));
    for p in [50.0_f64, 90.0, 99.0, 99.9] {
        let x = -(1.0 - p / 100.0).log10();
        let at = points.iter().find(|(rarity, _)| *rarity >= x - 1e-9).unwrap();
        assert_eq!(at.1 as u64, distribution.percentile(p).unwrap(), "p{p}");
    }
}

/// Goal: a closed loop, a failure and an invalid run cannot be overlooked, and texts from outside cannot break the page.
#[test]
fn verdicts_are_loud() {
    let mut run = testing::run(1, 1.0);
    run.verdict.closed_loop = true;
    run.verdict.failed.push("group 0: 3 records acknowledged and lost".to_owned());
    run.verdict.invalid.push("the generator was late".to_owned());
    run.label = Some("<script>alert(1)</script>".to_owned());
    run.target.durability = String::new();
    let page = run_page(&run);
    for text in ["FAILED, INVALID", "3 records acknowledged and lost", "the generator was late", "durability: unknown"]
    {
        assert!(page.contains(text), "{text}");
    }
    // The badge, the heading of every plot and table.
    assert!(count(&page, "CLOSED") >= 9, "{}", count(&page, "CLOSED"));
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"));
}

/// Goal: a run that saw nothing makes a page that says so, without numbers that are none.
#[test]
fn an_empty_run() {
    let mut run = testing::run(1, 1.0);
    run.latency = Default::default();
    run.series.points.clear();
    run.verification = None;
    let page = run_page(&run);
    assert!(page.contains("NOT VERIFIED"));
    assert!(!page.contains("NaN") && !page.contains("-inf"));
}

/// Goal: the sweep shows every rate tried, which of them held, and the found one.
#[test]
fn a_sweep_shows_its_probes() {
    let sweep = testing::sweep();
    let page = sweep_page(&sweep);
    for probe in &sweep.probes {
        assert!(page.contains(&format!("<td>{}/s</td>", human::rate(probe.rate))), "{}", probe.rate);
    }
    assert_eq!(count(&page, "<td>held</td>"), sweep.probes.iter().filter(|probe| probe.missed.is_empty()).count());
    assert!(page.contains("put-to-get p99 &lt;= 5.00 ms"));
    assert!(page.contains("15,000 records/s hold it"));
}

/// Goal: the ticks of time are round in the unit they show, for runs of a second and of a day.
#[test]
fn ticks_of_time() {
    let mut run = testing::run(1, 1.0);
    for (interval_ms, first, last) in [(25, "0 s", "1 s"), (15_000, "0 min", "10 min"), (2_160_000, "0 h", "20 h")] {
        run.series.interval_ms = interval_ms;
        let ticks = plots::time_axis(&run).ticks;
        assert_eq!((ticks[0].1.as_str(), ticks.last().unwrap().1.as_str()), (first, last), "{ticks:?}");
    }
}
