//! Random commands: a snapshot and the commands after it give what all commands give, and the invariants hold throughout.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Commands that are likely to fit a catalogue: what they name exists, most of the time. `dice` decides everything.
fn command_for(catalog: &Catalog, dice: &[u64]) -> Command {
    let mut dice = dice.iter().copied().cycle();
    let mut draw = |below: u64| dice.next().unwrap() % below;
    // Time goes on, mostly; now and then the clock is wrong.
    let jump = if draw(10) == 0 { draw(200_000_000_000) } else { draw(3_000_000) };
    let now = WallUs(NOW.0 + catalog.version() * 500_000 + jump);
    let workers = 1 + draw(5) as u16;
    // Few names and numbers, so that commands meet each other; some are refused, that is the point.
    let stream = StreamId(1 + draw(catalog.next_stream.0 + 1));
    let known = catalog.stream(stream);
    let numbers: Vec<_> = known.map(|s| s.shards().iter().map(|shard| shard.number).collect()).unwrap_or_default();
    let some_shard = |n: u64| numbers.get(n as usize % numbers.len().max(1)).copied().unwrap_or_default();
    let state_of = |number| known.and_then(|stream| stream.shard(number)).map(|shard| shard.state);
    let consumer = ConsumerId(1 + draw(4));
    let text = |n: u64| ["a", "b", "c", "d"][n as usize % 4].to_owned();
    match draw(27) {
        0..=2 => {
            let mode = if draw(3) == 0 { Mode::ON_DEMAND } else { Mode::Provisioned };
            Command::CreateStream(CreateStream {
                name: text(draw(4)),
                shard_count: draw(8) as u32,
                settings: Settings { mode, retention_hours: 24 + draw(100) as u32, ..Settings::default() },
                tags: tags(&[("k", "v")][..draw(2) as usize]),
                now,
                workers,
            })
        }
        3 | 4 => Command::ActivateStream { stream },
        5 | 6 => {
            let mut change =
                SettingsChange { retention_hours: Some(20 + draw(80) as u32), ..SettingsChange::default() };
            match draw(6) {
                5 => change.get_records_wait_ms = Some(draw(20_002) as u32),
                0 => change.mode = Some(Mode::Provisioned),
                1 => change.mode = Some(Mode::ON_DEMAND),
                2 => change.distribution = Some(Distribution::Auto),
                3 => change.limits = Some(Limits::Aws),
                _ => change = SettingsChange { record_bytes_max: Some(1000 + draw(4000) as u32), ..change },
            }
            Command::UpdateStream { stream, change, now }
        }
        7 => Command::DeleteStream { stream, enforce: draw(2) == 0 },
        8 => Command::ForgetStream { stream },
        9..=12 => {
            let mut ops = Vec::new();
            for _ in 0..1 + draw(3) {
                let shard = some_shard(draw(64));
                let range = known.and_then(|stream| stream.shard(shard)).map_or(HashRange::ALL, |shard| shard.range);
                // The key is inside of the range, at its edges, or just beside it.
                let width = range.end.0 - range.start.0;
                let inside = range.start.0 + (width / 8) * u128::from(draw(9));
                let edge = [range.start.0, range.end.0, inside, inside.saturating_add(1)][draw(4) as usize];
                let neighbour = known.and_then(|stream| {
                    let mut open = stream.open_shards();
                    open.find(|other| other.range.joined(range).is_some()).map(|other| other.number)
                });
                ops.push(match draw(2) {
                    0 => ReshardOp::Split { shard, at: HashKey(edge) },
                    _ => ReshardOp::Merge { shard, adjacent: neighbour.unwrap_or(shard) },
                });
            }
            Command::Reshard(Reshard { stream, ops, by_node: draw(2) == 0, now, workers })
        }
        13..=15 => {
            let pending = known.and_then(Stream::reshard_in_progress);
            let parents = pending.map(|pending| pending.parents).unwrap_or_default();
            let missing = usize::from(draw(10) == 0);
            let ends = parents.iter().skip(missing).rev().map(|parent| (parent.shard, Offset(draw(100)))).collect();
            Command::FinishReshard { stream, ends, now }
        }
        16 => Command::MoveShard { stream, shard: some_shard(draw(64)), to: WorkerId(draw(5) as u16) },
        17 if draw(2) == 0 => Command::ScaleDone { stream },
        17 => Command::ScaleStream { stream, target: 1 + draw(6) as u32, now },
        18 => {
            let closed = |number: &ShardNumber| matches!(state_of(*number), Some(ShardState::Closed { .. }));
            Command::ExpireShards { stream, shards: numbers.iter().copied().filter(closed).collect() }
        }
        19 => {
            let expired = |number: &ShardNumber| state_of(*number) == Some(ShardState::Expired);
            Command::ForgetShards { stream, shards: numbers.iter().copied().filter(expired).collect() }
        }
        20 => Command::TagStream {
            stream,
            consumer: (draw(2) == 0).then_some(consumer),
            set: tags(&[(&text(draw(4)), "v")]),
            remove: vec![text(draw(4))],
        },
        26 => Command::SetEncryption { stream, key_id: [None, Some(text(draw(2)))][draw(2) as usize].clone(), now },
        21 => Command::RegisterConsumer { stream, name: text(draw(4)), tags: Tags::new(), now },
        22 => Command::DeregisterConsumer { stream, consumer },
        _ => {
            let name = name(&text(draw(2)), &text(draw(2)));
            let item = catalog.store().get(&name.space, &name.key);
            let token = item.and_then(|item| item.lease.as_ref()).map(|lease| lease.token);
            let token = if draw(4) == 0 { Some(draw(9)) } else { token };
            let expect = match draw(3) {
                0 => Expect::Any,
                1 => Expect::Absent,
                _ => Expect::Version(item.map_or(0, |item| item.version)),
            };
            Command::Store(match draw(5) {
                0 | 1 => StoreCommand::Put { name, value: vec![7; draw(9) as usize].into(), expect, token },
                2 => StoreCommand::Delete { name, expect, token },
                3 => StoreCommand::Claim { name, owner: text(draw(4)), ttl_ms: 1000, take_from: token },
                _ => StoreCommand::Release { name, token: token.unwrap_or_default() },
            })
        }
    }
}

/// What gets into the log: the commands that pass the check, as bytes.
fn log_of(rolls: &[Vec<u64>]) -> Vec<Vec<u8>> {
    let mut catalog = Catalog::new();
    let mut log = Vec::new();
    for dice in rolls {
        let command = command_for(&catalog, dice);
        assert_eq!(Command::decode(&command.encode()).as_ref().ok(), decodable(&command), "{command:?}");
        let before = catalog.clone();
        if catalog.check(&command).is_ok() {
            catalog.apply(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
            let stored = matches!(command, Command::Store(_));
            assert_eq!(catalog.version(), before.version() + u64::from(!stored));
            assert_changes(&before, &catalog);
            log.push(command.encode());
        } else if catalog.apply(&command).is_err() {
            assert_eq!(catalog, before, "a refused command changed the state");
        } else {
            // Refused for its values only; the log does not hold it.
            catalog = before;
        }
    }
    log
}

/// The command, unless its bytes are refused: no provisioned stream has 0 shards.
fn decodable(command: &Command) -> Option<&Command> {
    match command {
        Command::CreateStream(create) if create.shards() == 0 => None,
        _ => Some(command),
    }
}

/// What holds between a state and the next one.
fn assert_changes(before: &Catalog, after: &Catalog) {
    assert!(after.next_group >= before.next_group && after.next_stream >= before.next_stream);
    assert!(after.next_consumer >= before.next_consumer && after.store.counter() >= before.store.counter());
    for stream in before.streams() {
        let Some(next) = after.stream(stream.id) else { continue };
        assert!(next.expired_before() >= stream.expired_before(), "what had expired is back");
        for shard in stream.shards() {
            // A shard goes from state to state in one direction, and its range never changes.
            let order = |state| match state {
                ShardState::Pending => 0,
                ShardState::Open => 1,
                ShardState::Closed { .. } => 2,
                ShardState::Expired => 3,
            };
            if let Some(next) = next.shard(shard.number) {
                assert!(order(next.state) >= order(shard.state));
                assert_eq!((next.range, next.group, next.created), (shard.range, shard.group, shard.created));
            }
        }
        for consumer in stream.consumers() {
            let later = |next: &Consumer| next.id == consumer.id || next.created.second() > consumer.created.second();
            assert!(next.consumer_by_name(&consumer.name).is_none_or(later), "two consumers of one ARN");
        }
    }
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
        if stream.status != Status::Deleting {
            assert!(names.insert(stream.name.as_str()));
            assert_eq!(catalog.stream_by_name(&stream.name), Some(stream));
        }
        let mut next = Some(0);
        for shard in stream.open_shards() {
            assert_eq!(shard.state, ShardState::Open);
            assert_eq!(next, Some(shard.range.start.0));
            next = shard.range.end.0.checked_add(1);
            let middle = shard.range.start.0 + (shard.range.end.0 - shard.range.start.0) / 2;
            for key in [shard.range.start.0, middle, shard.range.end.0] {
                assert_eq!(stream.route(HashKey(key)), shard);
            }
        }
        assert_eq!(next, None, "the ranges cover the key space");
        assert_eq!(stream.open_shards().count(), stream.shards().iter().filter(|shard| shard.is_open()).count());
        for shard in stream.shards() {
            assert!(groups.insert(shard.group));
            assert_eq!(catalog.shard(shard.group), Some((stream, shard)));
            for parent in shard.parents() {
                assert!(parent < shard.number);
                let Some(parent) = stream.shard(parent) else { continue };
                assert!(parent.created.second() < shard.created.second(), "sequence numbers of children come later");
                assert_eq!(parent.is_open(), shard.is_pending());
                assert_eq!(stream.children(parent.number).any(|child| child == shard), shard.is_readable());
            }
        }
        let pending = stream.reshard_in_progress();
        if let Some(PendingReshard { parents, children }) = &pending {
            let width = |shards: &[Placed]| {
                let ranges = shards.iter().map(|placed| stream.shard(placed.shard).unwrap().range);
                ranges.map(|range| (range.end.0 - range.start.0).wrapping_add(1)).fold(0, u128::wrapping_add)
            };
            assert_eq!(width(parents), width(children), "children stand for their parents");
        }
        let updating = stream.status == Status::Updating || stream.status == Status::Deleting;
        assert!(updating || (pending.is_none() && stream.scaling().is_none()));
        assert!(stream.status != Status::Updating || pending.is_some() || stream.scaling().is_some());
        assert_eq!(stream.settings.conflict(), None);
        for consumer in stream.consumers() {
            assert_eq!(stream.consumer_by_name(&consumer.name), Some(consumer));
            assert_eq!(stream.consumer(consumer.id), Some(consumer));
        }
    }
    let store = catalog.store();
    let (mut items, mut bytes) = (0, 0);
    for space in store.spaces() {
        for (key, item) in store.items_after(space, None) {
            items += 1;
            bytes += space.len() + key.len() + item.value.len();
            bytes += item.lease.as_ref().map_or(0, |lease| lease.owner.len());
        }
    }
    assert_eq!((store.items(), store.bytes()), (items, bytes));
    assert_eq!(catalog.shard_count(), groups.len());
    assert!(catalog.streams_after(None).map(|s| s.name.as_str()).eq(names));
    for workers in 1..6 {
        let live = |worker| {
            let shards = catalog.shards_on(WorkerId(worker), workers);
            let counts = |stream: &Stream, shard: &Shard| {
                stream.status != Status::Deleting && (shard.is_open() || shard.is_pending())
            };
            shards.filter(|(stream, shard)| counts(stream, shard)).count() as u32
        };
        assert_eq!(catalog.loads(workers), (0..workers).map(live).collect::<Vec<_>>());
    }
}

proptest! {
    /// Goal: a snapshot at any point and the commands after it give the same state, with the same bytes and the same
    /// events, as all commands from the start; and no group is ever handed out twice.
    #[test]
    fn snapshot_and_replay_equal_full_replay(
        rolls in prop::collection::vec(prop::collection::vec(any::<u64>(), 24), 0..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let log = log_of(&rolls);
        let cut = cut.index(log.len() + 1);

        let mut full = Catalog::new();
        let events: Vec<_> = log.iter().map(|bytes| {
            let events = replay(&mut full, std::slice::from_ref(bytes));
            assert_invariants(&full);
            events
        }).collect();

        let mut before = Catalog::new();
        replay(&mut before, &log[..cut]);
        let mut after = Catalog::decode_snapshot(&before.encode_snapshot()).unwrap();
        prop_assert_eq!(&after, &before);
        let events_after = replay(&mut after, &log[cut..]);

        prop_assert_eq!(&after, &full);
        prop_assert_eq!(after.encode_snapshot(), full.encode_snapshot());
        prop_assert_eq!(&events_after, &events[cut..].concat());

        let mut groups = BTreeSet::new();
        for event in events.concat() {
            let (Event::StreamCreating { shards: new, .. } | Event::ReshardBegun { children: new, .. }) = event else {
                continue;
            };
            prop_assert!(new.iter().all(|shard| groups.insert(shard.group)));
        }
    }

    /// Goal: bytes that are no command are an error, never a panic; and what decodes encodes to the same bytes.
    #[test]
    fn random_bytes_never_panic(head in 0..53_u8, rest in prop::collection::vec(prop_oneof![0..3_u8, any::<u8>()], 0..60)) {
        let bytes = [&[3, head, 0, 0][..], &rest].concat();
        if let Ok(command) = Command::decode(&bytes) {
            prop_assert_eq!(command.encode(), bytes);
        }
    }
}
