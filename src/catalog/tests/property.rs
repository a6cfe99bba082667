//! Random commands: a snapshot and the commands after it give what all commands give, and the invariants hold throughout.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn commands() -> impl Strategy<Value = Vec<Command>> {
    // Few names and numbers, so that commands meet each other; some are refused, that is the point.
    let stream = || (1..12_u64).prop_map(StreamId);
    let durability = || prop_oneof![Just(Durability::Fsync), Just(Durability::Interval)];
    let settings =
        (24..100_u32, 1024..5000_u32, durability()).prop_map(|(retention_hours, record_bytes_max, durability)| {
            Settings { retention_hours, record_bytes_max, durability }
        });
    let creation = ("[a-e]", 1..20_u32, settings, any::<u64>(), 1..6_u16).prop_map(
        |(name, shard_count, settings, now, workers)| {
            Command::CreateStream(CreateStream { name, shard_count, settings, now: WallUs(now), workers })
        },
    );
    let change = (prop::option::of(20..100_u32), prop::option::of(1000..5000_u32), prop::option::of(durability()))
        .prop_map(|(retention_hours, record_bytes_max, durability)| SettingsChange {
            retention_hours,
            record_bytes_max,
            durability,
        });
    let command = prop_oneof![
        4 => creation,
        3 => stream().prop_map(|stream| Command::ActivateStream { stream }),
        2 => (stream(), change).prop_map(|(stream, change)| Command::UpdateStream { stream, change }),
        2 => stream().prop_map(|stream| Command::DeleteStream { stream }),
        2 => stream().prop_map(|stream| Command::ForgetStream { stream }),
    ];
    prop::collection::vec(command, 0..60)
}

/// What gets into the log: the commands that pass the check, as bytes.
fn log_of(commands: &[Command]) -> Vec<Vec<u8>> {
    let mut catalog = Catalog::new();
    let mut log = Vec::new();
    for command in commands {
        let before = catalog.clone();
        if catalog.check(command).is_ok() {
            catalog.apply(command).unwrap();
            assert_eq!(catalog.version(), before.version() + 1);
            log.push(command.encode());
        } else if catalog.apply(command).is_err() {
            assert_eq!(catalog, before, "a refused command changed the state");
        } else {
            // Refused for its values only; the log does not hold it.
            catalog = before;
        }
    }
    log
}

fn replay(catalog: &mut Catalog, log: &[Vec<u8>]) -> Vec<Event> {
    let mut events = Vec::new();
    for bytes in log {
        events.extend(catalog.apply(&Command::decode(bytes).unwrap()).unwrap());
        catalog.advance(catalog.applied().end, Term(1));
    }
    events
}

fn assert_invariants(catalog: &Catalog) {
    let mut groups = BTreeSet::new();
    let mut names = BTreeSet::new();
    for stream in catalog.streams() {
        assert!(names.insert(stream.name.as_str()));
        assert_eq!(catalog.stream_by_name(&stream.name), Some(stream));
        let mut next = Some(0);
        for shard in stream.open_shards() {
            assert_eq!(next, Some(shard.range.start.0));
            next = shard.range.end.0.checked_add(1);
            let middle = shard.range.start.0 + (shard.range.end.0 - shard.range.start.0) / 2;
            for key in [shard.range.start.0, middle, shard.range.end.0] {
                assert_eq!(stream.route(HashKey(key)), shard);
            }
        }
        assert_eq!(next, None, "the ranges cover the key space");
        for shard in stream.shards() {
            assert!(groups.insert(shard.group));
            assert_eq!(catalog.shard(shard.group), Some((stream, shard)));
        }
    }
    assert_eq!(catalog.shard_count(), groups.len());
    assert!(catalog.streams_after(None).map(|s| s.name.as_str()).eq(names));
    for workers in 1..6 {
        let live = |worker| {
            let shards = catalog.shards_on(WorkerId(worker), workers);
            shards.filter(|(stream, _)| stream.status != Status::Deleting).count() as u32
        };
        assert_eq!(catalog.loads(workers), (0..workers).map(live).collect::<Vec<_>>());
    }
}

proptest! {
    /// Goal: a snapshot at any point and the commands after it give the same state, with the same bytes and the same
    /// events, as all commands from the start; and no group is ever handed out twice.
    #[test]
    fn snapshot_and_replay_equal_full_replay(commands in commands(), cut in any::<prop::sample::Index>()) {
        let log = log_of(&commands);
        let cut = cut.index(log.len() + 1);

        let mut full = Catalog::new();
        let mut events = replay(&mut full, &log);
        assert_invariants(&full);

        let mut before = Catalog::new();
        replay(&mut before, &log[..cut]);
        let mut after = Catalog::decode_snapshot(&before.encode_snapshot()).unwrap();
        prop_assert_eq!(&after, &before);
        let events_after = replay(&mut after, &log[cut..]);

        prop_assert_eq!(&after, &full);
        prop_assert_eq!(after.encode_snapshot(), full.encode_snapshot());
        prop_assert_eq!(&events_after[..], &events[cut..]);

        let mut groups = BTreeSet::new();
        events.retain(|event| matches!(event, Event::StreamCreating { .. }));
        for event in events {
            let Event::StreamCreating { shards, .. } = event else { unreachable!() };
            prop_assert!(shards.iter().all(|shard| groups.insert(shard.group)));
        }
    }

    /// Goal: bytes that are no command are an error, never a panic; and what decodes encodes to the same bytes.
    #[test]
    fn random_bytes_never_panic(head in 0..7_u8, rest in prop::collection::vec(any::<u8>(), 0..60)) {
        let bytes = [&[1, head, 0, 0][..], &rest].concat();
        if let Ok(command) = Command::decode(&bytes) {
            prop_assert_eq!(command.encode(), bytes);
        }
    }
}
