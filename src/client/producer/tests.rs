use std::collections::HashMap;

use super::*;
use crate::client::testing::{Faults, STREAM, World};
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::runtime::local::join_all;
use crate::sim::Chance;

fn small() -> ProducerOptions {
    ProducerOptions { batch_bytes_max: 200, delivery_timeout: Duration::from_secs(40), ..ProducerOptions::default() }
}

/// What became of every record that was put: its data is unique.
type Fates = Vec<(String, String, Result<Ack>)>;

/// The promise: acknowledged records are stored exactly once, where the acknowledgement says; refused ones never; unknown
/// ones at most once; and the records of a key lie in the order in which they were put, shard after shard.
fn check(world: &World, fates: &Fates) {
    let shards = world.store.shards.borrow();
    let mut stored: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    let mut order: HashMap<String, Vec<String>> = HashMap::new();
    for (number, shard) in shards.iter().enumerate() {
        for (offset, (key, data)) in shard.records().into_iter().enumerate() {
            let data = String::from_utf8(data).unwrap();
            stored.entry(data.clone()).or_default().push((number, offset));
            order.entry(key).or_default().push(data);
        }
    }
    for (key, data, fate) in fates {
        let places = stored.get(data).cloned().unwrap_or_default();
        match fate {
            Ok(ack) => {
                assert_eq!(places.len(), 1, "{key} {data} is stored at {places:?}, acknowledged as {ack:?}");
                assert_eq!(places[0].0, ack.shard.0 as usize);
                assert!(ack.offset.is_none_or(|offset| offset.0 as usize == places[0].1), "{ack:?} {places:?}");
            }
            Err(error) if error.is_outcome_unknown() => assert!(places.len() <= 1, "{data} is stored at {places:?}"),
            Err(error) => assert!(places.is_empty(), "{data} failed with {error} and is stored at {places:?}"),
        }
    }
    for (key, have) in &order {
        let put: Vec<_> = fates.iter().filter(|(other, ..)| other == key).map(|(_, data, _)| data).collect();
        let want: Vec<_> = put.into_iter().filter(|data| have.contains(data)).collect();
        assert_eq!(have.iter().collect::<Vec<_>>(), want, "the order of {key}");
    }
}

/// Puts `count` records over ten keys while `disturb` runs after each.
fn run(world: &World, options: ProducerOptions, count: u32, mut disturb: impl FnMut(u32)) -> Fates {
    world.sim.block_on(async {
        let client = world.client().await;
        let producer = client.producer(STREAM, options).await.unwrap();
        let mut tickets = Vec::new();
        for n in 0..count {
            let (key, data) = (format!("key-{}", n % 10), format!("{n}-{}", "x".repeat(n as usize % 40)));
            let ticket = producer.send(&key, data.as_bytes()).await.unwrap();
            tickets.push((key, data, ticket));
            disturb(n);
            if n % 7 == 0 {
                client.reactor().sleep(Duration::from_micros(client.reactor().random() % 2_000)).await;
            }
        }
        producer.flush().await.unwrap();
        let mut fates = Vec::new();
        for (key, data, ticket) in tickets {
            fates.push((key, data, ticket.wait().await));
        }
        let (stored, failed) = (producer.progress().records_stored, producer.progress().records_failed);
        assert_eq!(stored, fates.iter().filter(|(_, _, fate)| fate.is_ok()).count() as u64);
        assert_eq!(stored + failed, u64::from(count));
        producer.close().await.unwrap();
        fates
    })
}

/// Goal: with a healthy node every record is acknowledged, stored once, in order, at its offset, at the worker that owns
/// its shard.
#[test]
fn healthy_node_stores_everything() {
    let world = World::new(1, 4);
    let fates = run(&world, small(), 300, |_| {});
    assert!(fates.iter().all(|(_, _, fate)| fate.as_ref().is_ok_and(|ack| !ack.duplicate && ack.offset.is_some())));
    check(&world, &fates);
    for (worker, group) in world.store.puts_at.borrow().iter() {
        assert_eq!(u64::from(worker.0), group.0 % 2, "puts go to the owner's own port");
    }
}

/// Goal: under lost connections, lost, late and refused answers, and restarts of the node, in many orders, every record is
/// acknowledged and stored once, in order.
#[test]
fn faults_lose_nothing_and_double_nothing() {
    let (mut duplicates, mut puts) = (0, 0);
    for seed in 0..60 {
        let world = World::new(seed, 1 + seed as u32 % 3);
        let faults = Faults { refuse: 5, lose: 3, unknown: 5, reorder: 40, damage: 0 };
        world.store.faults.set(faults);
        let fates = run(&world, small(), 200, |n| {
            if n % 67 == 66 {
                world.restart();
            } else if n % 23 == 22 {
                world.sim.cut_connections(world.node, Chance::percent(50));
            }
        });
        for (_, data, fate) in &fates {
            assert!(fate.is_ok(), "seed {seed}: {data} failed with {fate:?}");
        }
        check(&world, &fates);
        duplicates += fates.iter().filter(|(_, _, fate)| fate.as_ref().is_ok_and(|ack| ack.duplicate)).count();
        puts += world.store.puts_at.borrow().len();
    }
    // The seeds did exercise resends.
    assert!(duplicates > 100 && puts > 2_000, "{duplicates} duplicates in {puts} puts");
}

/// Goal: batches that a node refuses for good, or that it forgets a producer of, fail alone; what follows goes on and
/// nothing is stored twice.
#[test]
fn refusals_and_amnesia_keep_the_promise() {
    let mut failed = 0;
    for seed in 0..60 {
        let world = World::new(1_000 + seed, 2);
        world.store.faults.set(Faults { refuse: 3, lose: 3, unknown: 3, reorder: 40, damage: 0 });
        let fates = run(&world, small(), 200, |n| match n % 41 {
            11 => world.store.script.borrow_mut().push(ErrorAnswer::new(ErrorCode::DiskFull)),
            23 => world.store.shards.borrow_mut()[0].forget_producers(),
            _ => {}
        });
        check(&world, &fates);
        failed += fates.iter().filter(|(_, _, fate)| fate.is_err()).count();
        let stored = fates.iter().filter(|(_, _, fate)| fate.is_ok()).count();
        assert!(stored > 60, "seed {seed}: only {stored} records were stored");
    }
    assert!(failed > 100, "only {failed} records failed");
}

/// Goal: when a shard is split, its waiting records move to the children, in order, and later ones follow them there.
#[test]
fn split_shards_hand_their_records_over() {
    for seed in 0..40 {
        let world = World::new(2_000 + seed, 2);
        world.store.faults.set(Faults { refuse: 10, lose: 1, unknown: 0, reorder: 40, damage: 0 });
        let fates = run(&world, small(), 200, |n| {
            if n == 80 {
                world.split(0);
            }
            if n == 140 {
                world.split(1);
            }
        });
        check(&world, &fates);
        let stored = fates.iter().filter(|(_, _, fate)| fate.is_ok()).count();
        assert!(stored > 150, "seed {seed}: only {stored} records were stored");
        let shards = world.store.shards.borrow();
        assert!(shards[2..].iter().map(|shard| shard.end().0).sum::<u64>() > 50);
    }
}

/// Halves the number of open shards, or doubles it; 64 at most.
fn scale(world: &World, turn: u32) {
    let open: Vec<_> = {
        let shards = world.store.shards.borrow();
        let open = (0..).zip(shards.iter()).filter(|(_, shard)| shard.description.closed.is_none());
        let mut open: Vec<_> = open.map(|(at, shard)| (shard.description.hash_start, at)).collect();
        open.sort_unstable();
        open.into_iter().map(|(_, at)| at).collect()
    };
    if turn.is_multiple_of(2) {
        open.chunks(2).for_each(|pair| world.merge(pair[0], pair[1]));
    } else {
        open.into_iter().for_each(|shard| world.split(shard));
    }
}

/// Goal: however many lanes a scaling closes, it costs a producer a description or two; and however many shards were closed
/// before, it lists the open ones only. So thousands of closed shards make no put wait for longer than the first ones did.
#[test]
fn maps_are_fetched_once_and_without_closed_shards() {
    for seed in 0..3 {
        let world = World::new(3_000 + seed, 64);
        // Lost answers, so that closed shards are looked up, too.
        world.store.faults.set(Faults { refuse: 0, lose: 0, unknown: 2, reorder: 40, damage: 0 });
        let (mut scalings, mut lookups) = (0, 0);
        let fates = run(&world, small(), 3_000, |n| {
            if n % 50 == 49 {
                scale(&world, scalings);
                scalings += 1;
            }
        });
        check(&world, &fates);
        for (_, data, fate) in &fates {
            assert!(fate.is_ok(), "seed {seed}: {data} failed with {fate:?}");
        }
        let closed = world.store.shards.borrow().iter().filter(|shard| shard.description.closed.is_some()).count();
        assert!(closed > 2_800, "{closed} closed shards");
        let (calls, listed) = world.store.described.get();
        // A lane looks its closed shard up if it does not know what became of a batch: one of few keys here.
        lookups += u64::from(scalings) * 10;
        assert!(calls <= u64::from(scalings) * 2 + lookups, "{calls} descriptions for {scalings} scalings");
        assert!(listed <= u64::from(scalings) * 2 * 64 + lookups, "{listed} shards listed for {scalings} scalings");
    }
}

/// Goal: an answer from a worker that is behind changes nothing: its closed shards are not taken for open again, nor the open
/// ones for gone.
#[test]
fn an_older_map_is_not_taken_over() {
    let world = World::new(4, 1);
    world.sim.block_on(async {
        let client = world.client().await;
        let producer = client.producer(STREAM, small()).await.unwrap();
        let shards = || world.store.shards.borrow().iter().map(|shard| shard.description).collect::<Vec<_>>();
        let before = (world.store.version.get(), shards());
        world.split(0);
        let mut fates = Vec::new();
        for n in 0..40 {
            if n % 10 == 5 {
                *world.store.described_late.borrow_mut() = Some(before.clone());
                world.store.script.borrow_mut().push(ErrorAnswer::new(ErrorCode::WrongShardMap));
            }
            let (key, data) = (format!("key-{}", n % 8), n.to_string());
            let fate = producer.put(&key, data.as_bytes()).await;
            let is_in_child = fate.as_ref().is_ok_and(|ack| ack.shard != ShardNumber(0) && !ack.duplicate);
            assert!(is_in_child, "record {n}: {fate:?}");
            fates.push((key, data, fate));
        }
        assert!(world.store.described_late.borrow().is_none(), "nobody asked");
        let to_parent = world.store.puts_at.borrow().iter().filter(|(_, group)| *group == GroupId(100)).count();
        assert_eq!(to_parent, 1, "what told that it was closed");
        check(&world, &fates);
    });
}

/// Goal: an explicit hash key decides the shard, and still does after the batch was moved by a split.
#[test]
fn explicit_hash_keys_survive_a_move() {
    let world = World::new(5, 1);
    world.sim.block_on(async {
        let client = world.client().await;
        let producer = client.producer(STREAM, small()).await.unwrap();
        world.split(0);
        let mut tickets = Vec::new();
        for n in 0..20_u128 {
            let hash_key = HashKey(if n % 2 == 0 { 0 } else { u128::MAX });
            tickets.push(producer.send_explicit("same", hash_key, b"x").await.unwrap());
        }
        for (n, ticket) in tickets.iter().enumerate() {
            assert_eq!(ticket.wait().await.unwrap().shard, ShardNumber(1 + n as u32 % 2), "record {n}");
        }
    });
}

/// Goal: time over means a failure that says what is known: never sent is expired, sent without an answer is unknown.
#[test]
fn expiry_tells_unsent_from_unknown() {
    let world = World::new(6, 1);
    world.sim.block_on(async {
        let options = ProducerOptions { delivery_timeout: Duration::from_secs(8), ..small() };
        let client = world.client().await;
        let producer = client.producer(STREAM, options).await.unwrap();
        world.store.silent.set(true);
        let unknown = producer.send("a", b"1").await.unwrap();
        client.reactor().sleep(Duration::from_secs(1)).await;
        world.sim.kill(world.node);
        // The connection's end is known by then: what is put now is not sent at all.
        client.reactor().sleep(Duration::from_secs(1)).await;
        let start = client.reactor().now();
        // Too large for the batch on its way.
        let unsent = producer.send("a", &[b'2'; 300]).await.unwrap();
        assert!(matches!(unknown.wait().await, Err(Error::OutcomeUnknown(_))));
        let result = unsent.wait().await;
        assert!(matches!(result, Err(Error::Expired(_))), "{result:?}");
        assert!(client.reactor().now().since(start) < 20_000_000);
        world.store.silent.set(false);
        world.start();
        let ack = producer.put("a", b"3").await.unwrap();
        assert_eq!(ack.shard, ShardNumber(0));
    });
}

/// Goal: bad records are refused before they are sent, with the reason, and harm no others.
#[test]
fn bad_records_are_refused_at_once() {
    let world = World::new(7, 1);
    world.sim.block_on(async {
        let producer = world.client().await.producer(STREAM, small()).await.unwrap();
        let refused = |error| match error {
            Err(Error::Record(error)) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused(producer.put("", b"x").await), RecordError::KeyEmpty { .. }));
        assert!(matches!(refused(producer.put(&"k".repeat(257), b"x").await), RecordError::KeyTooLong { .. }));
        assert!(matches!(refused(producer.put("k", &vec![0; 64 << 10]).await), RecordError::TooLarge { .. }));
        assert_eq!(world.store.puts_at.borrow().len(), 0);
        // Larger than a batch, within the stream's limit.
        assert_eq!(producer.put("k", &vec![0; (64 << 10) - 1]).await.unwrap().offset, Some(Offset(0)));
    });
}

/// Goal: the buffer bounds what is accepted: with a node that never answers, puts wait.
#[test]
fn puts_wait_for_room() {
    let world = World::new(8, 1);
    world.store.silent.set(true);
    world.sim.block_on(async {
        let options = ProducerOptions { buffer_bytes_max: 2_000, ..small() };
        let client = world.client().await;
        let producer = client.producer(STREAM, options).await.unwrap();
        let accepted = Cell::new(0_u32);
        let flood = async {
            loop {
                producer.send("k", &[0; 59]).await.unwrap();
                accepted.set(accepted.get() + 1);
            }
        };
        futures_lite::future::or(flood, client.reactor().sleep(Duration::from_secs(2))).await;
        assert_eq!(accepted.get(), 20, "of 100 bytes each");
    });
}

/// Goal: while batches are on their way everything that is put meanwhile goes into few larger ones; lingering waits, and
/// a flush does not.
#[test]
fn batches_grow_naturally_and_linger_on_request() {
    let world = World::new(9, 1);
    world.sim.block_on(async {
        let client = world.client().await;
        let producer = client.producer(STREAM, ProducerOptions::default()).await.unwrap();
        let tickets = join_all((0..500).map(|_| producer.send("k", b"x"))).await;
        for ticket in tickets {
            ticket.unwrap().wait().await.unwrap();
        }
        assert!(world.store.puts_at.borrow().len() <= 9, "{} batches", world.store.puts_at.borrow().len());

        let options = ProducerOptions { linger: Duration::from_secs(1), ..ProducerOptions::default() };
        let lingering = client.producer(STREAM, options).await.unwrap();
        let start = client.reactor().now();
        lingering.put("k", b"x").await.unwrap();
        assert!(client.reactor().now().since(start) >= 1_000_000);
        let start = client.reactor().now();
        lingering.put_detached("k", b"x").await.unwrap();
        lingering.flush().await.unwrap();
        assert!(client.reactor().now().since(start) < 500_000);
    });
}

/// Goal: the failure of a detached record is what the next flush returns, once; of a record with a ticket it is not.
#[test]
fn flush_reports_detached_failures() {
    let world = World::new(10, 1);
    world.sim.block_on(async {
        let producer = world.client().await.producer(STREAM, small()).await.unwrap();
        world.store.script.borrow_mut().push(ErrorAnswer::new(ErrorCode::DiskFull));
        producer.put_detached("k", b"1").await.unwrap();
        assert_eq!(producer.flush().await.unwrap_err().code(), Some(ErrorCode::DiskFull));
        producer.flush().await.unwrap();
        world.store.script.borrow_mut().push(ErrorAnswer::new(ErrorCode::DiskFull));
        let ticket = producer.send("k", b"2").await.unwrap();
        producer.flush().await.unwrap();
        assert_eq!(ticket.wait().await.unwrap_err().code(), Some(ErrorCode::DiskFull));
        producer.put_detached("k", b"3").await.unwrap();
        producer.close().await.unwrap();
        assert_eq!(world.store.shards.borrow()[0].records().len(), 1);
    });
}

/// Goal: the end of the stream, and a newer producer of the same id, end the producer with the reason.
#[test]
fn the_end_of_the_stream_ends_the_producer() {
    for (code, gone) in [(ErrorCode::ShardNotFound, true), (ErrorCode::ProducerFenced, false)] {
        let world = World::new(11, 1);
        world.sim.block_on(async {
            let producer = world.client().await.producer(STREAM, small()).await.unwrap();
            world.store.deleted.set(gone);
            world.store.script.borrow_mut().push(ErrorAnswer::new(code));
            let error = producer.put("k", b"1").await.unwrap_err();
            assert_eq!(matches!(error, Error::StreamGone(_)), gone, "{error}");
            let again = producer.put("k", b"2").await.unwrap_err();
            assert_eq!(again.code(), error.code());
        });
    }
}

/// Goal: dropped without close, a producer still delivers what was put, and its tasks end then.
#[test]
fn a_dropped_producer_delivers() {
    let world = World::new(12, 2);
    world.sim.block_on(async {
        let client = world.client().await;
        let producer = client.producer(STREAM, small()).await.unwrap();
        for n in 0..50 {
            producer.put_detached(&format!("k{n}"), b"x").await.unwrap();
            if n == 20 {
                world.split(0);
            }
        }
        // Lanes of shards that are closed end by themselves.
        client.reactor().sleep(Duration::from_secs(1)).await;
        let shared = Rc::downgrade(&producer.shared);
        drop(producer);
        client.reactor().sleep(Duration::from_secs(1)).await;
        assert_eq!(world.store.shards.borrow().iter().map(|shard| shard.end().0).sum::<u64>(), 50);
        assert!(shared.upgrade().is_none(), "a task lives on");
    });
}
