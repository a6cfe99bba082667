//! Every operation at every port: the same results.

use millstream::protocol::messages::{
    Get, HashKeys, Position, PutKeyed, ReadState, SettingsChange, Start, Stats, Subscribe,
};
use millstream::protocol::{ErrorCode, Kind};
use millstream::types::{HashKey, Offset};

use crate::world::{World, one, records, request};

const NO_CHANGE: SettingsChange = SettingsChange::NONE;

/// Goal: put, get, position, subscribe and statistics mean the same wherever they are sent.
#[test]
fn every_operation_at_every_port() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut first = world.worker(0).await;
        let shards = first.create("s", 6, NO_CHANGE).await;
        let mut count = 0;
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            assert_eq!(conn.describe("s").await, shards);
            for shard in &shards {
                let group = shard.group;
                let base = conn.put(group, "k", format!("{count}").as_bytes()).await.base_offset;
                assert_eq!(base.0, count);
                let answer = conn.call(&Get { group, from: base, bytes_max: 1, wait_ms: 100 }, &[]).await;
                let state: ReadState = answer.answer::<Get>().unwrap().unwrap();
                assert_eq!(
                    (state.next_offset, state.end_offset, state.horizon),
                    (base.plus(1), base.plus(1), Offset(0))
                );
                assert_eq!(records(&answer.body), [(base, "k".to_owned(), format!("{count}").into_bytes())]);
                let answer = conn.call(&Position { group, start: Start::Latest }, &[]).await;
                assert_eq!(answer.answer::<Position>().unwrap().unwrap().offset, base.plus(1));
                conn.send(&request(
                    900 + group.0,
                    &Subscribe { group, start: Start::At(base), consumer: 0, credit: 1 },
                    &[],
                ))
                .await;
                assert_eq!(conn.recv().await.unwrap().head.kind, Kind::Answer);
                let push = conn.recv().await.unwrap();
                assert_eq!((push.head.kind, records(&push.body).len()), (Kind::Push, 1));
            }
            count += 1;
            let mut sum = 0;
            for shard in &shards {
                sum += conn.stat(Stats::Shard(shard.group), "records").await;
            }
            assert_eq!(sum, count * 6);
            assert_eq!(conn.stat(Stats::Stream("s"), "records").await, sum);
            assert_eq!(conn.stat(Stats::Node, "records").await, sum);
            assert_eq!(conn.stat(Stats::Node, "put_records_total").await, sum);
            assert_eq!(conn.stat(Stats::Node, "shards").await, 6);
        }
    });
}

/// Goal: statistics have the same names in the same order at every port.
#[test]
fn names_of_statistics_are_stable() {
    let world = World::new(3);
    world.sim.block_on(async {
        let group = world.worker(0).await.create("s", 1, NO_CHANGE).await[0].group;
        for of in [Stats::Node, Stats::Stream("s"), Stats::Shard(group)] {
            let mut all = Vec::new();
            for addr in world.ports() {
                let answer = world.open(addr).await.call(&of, &[]).await;
                let stats = answer.answer::<Stats<'_>>().unwrap().unwrap().stats;
                all.push(stats.iter().map(|stat| stat.name.to_owned()).collect::<Vec<_>>());
            }
            assert!(all.iter().all(|names| *names == all[0] && !names.is_empty()), "{all:?}");
        }
    });
}

/// Goal: a keyed put reaches the shards of all workers in the order of its records; catalogue changes count everywhere.
#[test]
fn keyed_puts_and_changes_at_every_port() {
    let world = World::new(3);
    world.sim.block_on(async {
        for (nth, addr) in world.ports().into_iter().enumerate() {
            let (mut conn, name) = (world.open(addr).await, format!("s{nth}"));
            let shards = conn.create(&name, 6, NO_CHANGE).await;
            let hash_of = |record: usize| shards[record % 6].hash_end;
            let mut scratch = Vec::new();
            let keys: Vec<Option<HashKey>> = (0..60).map(|record| Some(hash_of(record))).collect();
            let hash_keys = HashKeys::collect(keys, &mut scratch);
            let body: Vec<u8> = (0..60u8).flat_map(|record| one("k", &[record])).collect();
            let answer = conn.call(&PutKeyed { stream: &name, record_count: 60, hash_keys }, &body).await;
            for (record, result) in answer.answer::<PutKeyed<'_>>().unwrap().unwrap().results.iter().enumerate() {
                let expected = (0, shards[record % 6].number, Offset(record as u64 / 6));
                assert_eq!((result.error, result.shard, result.offset), expected);
            }
            for other in world.ports() {
                let mut other = world.open(other).await;
                for (at, shard) in shards.iter().enumerate() {
                    let data: Vec<u8> = other.read_all(shard.group).await.iter().map(|record| record.2[0]).collect();
                    assert_eq!(data, (0..10).map(|turn| turn * 6 + at as u8).collect::<Vec<u8>>());
                }
                let again =
                    millstream::protocol::messages::CreateStream { name: &name, shards: 1, settings: NO_CHANGE };
                assert_eq!(other.fails(&again, &[]).await, ErrorCode::StreamExists);
            }
        }
    });
}
