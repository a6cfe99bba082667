use super::*;
use crate::units::Rate;

/// Goal: every preset parses, is what its file name says, and says what it is for; and written out it is the same again.
#[test]
fn presets_are_complete() {
    for (name, _) in presets::PRESETS {
        let workload = presets::preset(name).unwrap();
        assert_eq!(workload.name, name);
        assert!(workload.description.ends_with('.'), "{name}: {}", workload.description);
        let text = toml::to_string(&workload).unwrap();
        assert_eq!(Workload::from_toml(&text).unwrap(), workload, "{name}");
        let json = serde_json::to_string(&workload).unwrap();
        assert_eq!(serde_json::from_str::<Workload>(&json).unwrap(), workload, "{name}");
    }
    assert!(format!("{:#}", presets::preset("nope").unwrap_err()).contains("smoke, latency"));
}

/// Goal: only `throughput` is a closed loop, and it says so itself.
#[test]
fn presets_are_open_unless_they_say_so() {
    for (name, _) in presets::PRESETS {
        let workload = presets::preset(name).unwrap();
        assert_eq!(workload.is_closed(), name == "throughput", "{name}");
        assert!(!workload.is_closed() || workload.description.contains("closed loop"), "{name}");
    }
}

/// Goal: values are changed by path, and the whole is checked afterwards.
#[test]
fn values_change_by_path() {
    let base = Workload::default();
    let change = |changes: &[&str]| base.with(&changes.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    let changed = change(&["load.schedule.rate=5k", "load.producers = 8", "duration=3s"]).unwrap();
    assert_eq!(changed.load.schedule, Schedule::Fixed { rate: Rate(5_000.0) });
    assert_eq!((changed.load.producers, changed.duration), (8, Time::from_secs(3)));
    assert_eq!(change(&["load.closed.in_flight=64"]).unwrap().load.closed, Some(Closed { in_flight: 64 }));
    let burst = change(&["load.schedule={kind='burst', every='1s', records=10}"]).unwrap();
    assert_eq!(burst.load.schedule, Schedule::Burst { every: Time::from_secs(1), records: 10 });
    assert!(change(&["load.shedule.rate=5k"]).is_err());
    assert!(change(&["load.producers"]).is_err());
    assert!(change(&["load.producers.x=1"]).is_err());
}

/// Goal: what cannot be run, or not be verified, is refused before anything starts, with the name of the value.
#[test]
fn contradictions_are_refused() {
    for (text, word) in [
        ("duration = '0s'", "duration"),
        ("[load]\nproducers = 0", "load.producers"),
        ("[load]\nproducers = 2\nthreads = 3", "load.threads"),
        ("[load]\nclosed = { in_flight = 0 }", "in_flight"),
        ("[load]\nschedule = { kind = 'fixed', rate = 0 }", "load.schedule"),
        ("[records]\nsize = { kind = 'fixed', bytes = 47 }", "records.size"),
        ("[records]\nkeys = { kind = 'uniform', count = 0 }", "records.keys"),
        ("[load]\nproducers = 100\n[records]\nkeys = { kind = 'uniform', count = 1000000 }", "too much memory"),
        ("[read]\ngroups = 0\n[backlog]\nbytes = '1MiB'", "backlog"),
        ("[read]\ngroups = 1\nthreads = 2", "read.threads"),
        ("[[fault]]\nkind = 'kill-restart'\nat = '1h'", "fault"),
        ("[validity]\nlate_share = 1.5", "late_share"),
        ("colour = 'red'", "colour"),
    ] {
        let error = format!("{:#}", Workload::from_toml(text).unwrap_err());
        assert!(error.contains(word), "{text}: {error}");
    }
}
