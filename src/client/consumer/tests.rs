use super::*;
use crate::client::testing::{Faults, STREAM, World, check_filled};
use crate::sim::Chance;

const MODES: [Mode; 2] = [Mode::Get, Mode::Push];

fn options(mode: Mode) -> ConsumerOptions {
    ConsumerOptions { mode, bytes_max: 3_000, wait: Duration::from_secs(1), ..ConsumerOptions::default() }
}

fn shard() -> ShardNumber {
    ShardNumber(0)
}

/// Goal: by get and by push, every record comes once, in order, from any start, in the middle of a frame too; and those
/// that are put later follow.
#[test]
fn reads_everything_in_order() {
    for mode in MODES {
        for start in [0, 7, 10, 95] {
            let world = World::new(start, 1);
            world.fill(0, 100);
            world.sim.block_on(async {
                let client = world.client().await;
                let at = Start::At(Offset(start));
                let mut consumer = client.consumer(STREAM, shard(), at, options(mode)).await.unwrap();
                for offset in start..100 {
                    assert_eq!(consumer.position(), Offset(offset));
                    check_filled(&consumer.next().await.unwrap().unwrap(), offset);
                }
                world.fill(0, 50);
                for offset in 100..150 {
                    check_filled(&consumer.next().await.unwrap().unwrap(), offset);
                }
            });
        }
    }
}

/// Goal: under cut connections, damaged frames and restarts of the node, nothing is missing, repeated or changed.
#[test]
fn faults_lose_and_repeat_nothing() {
    for seed in 0..30 {
        for mode in MODES {
            let world = World::new(seed, 1);
            world.fill(0, 300);
            world.store.faults.set(Faults { damage: 20, ..Faults::default() });
            world.sim.block_on(async {
                let client = world.client().await;
                let mut consumer = client.consumer(STREAM, shard(), Start::Horizon, options(mode)).await.unwrap();
                for offset in 0..600 {
                    check_filled(&consumer.next().await.unwrap().unwrap(), offset);
                    match offset {
                        150 | 450 => world.restart(),
                        299 => world.fill(0, 300),
                        _ if offset % 90 == 40 => drop(world.sim.cut_connections(world.node, Chance::percent(100))),
                        _ => {}
                    }
                }
            });
        }
    }
}

/// Goal: dropping a read at any await loses no record.
#[test]
fn cancelled_reads_lose_nothing() {
    for mode in MODES {
        let world = World::new(3, 1);
        world.fill(0, 200);
        world.sim.block_on(async {
            let client = world.client().await;
            let options = ConsumerOptions { bytes_max: 600, ..options(mode) };
            let mut consumer = client.consumer(STREAM, shard(), Start::Horizon, options).await.unwrap();
            let (mut offset, mut cancelled) = (0, 0);
            while offset < 200 {
                let nap = Duration::from_micros(client.reactor().random() % 300);
                match super::super::connection::within(client.reactor(), nap, consumer.next()).await {
                    Some(record) => {
                        check_filled(&record.unwrap().unwrap(), offset);
                        offset += 1;
                    }
                    None => cancelled += 1,
                }
            }
            assert!(cancelled > 5, "only {cancelled} reads were cancelled");
        });
    }
}

/// Goal: a reader that takes nothing is sent no more than its credit and one frame; taking renews the credit.
#[test]
fn credit_bounds_what_is_pushed() {
    let world = World::new(4, 1);
    world.fill(0, 1_000);
    world.sim.block_on(async {
        let client = world.client().await;
        let mut consumer = client.consumer(STREAM, shard(), Start::Horizon, options(Mode::Push)).await.unwrap();
        check_filled(&consumer.next().await.unwrap().unwrap(), 0);
        client.reactor().sleep(Duration::from_secs(5)).await;
        for offset in 1..1_000 {
            check_filled(&consumer.next().await.unwrap().unwrap(), offset);
        }
        let ahead = world.store.pushed_ahead_max.get();
        assert!((1_500..3_000 + 400).contains(&ahead), "{ahead} bytes were pushed ahead of 3,000 of credit");
    });
}

/// Goal: the horizon and lost records are errors that say where to go on, and seeking there goes on.
#[test]
fn lost_records_are_told_and_skipped_on_request() {
    for mode in MODES {
        let world = World::new(5, 1);
        world.fill(0, 100);
        world.store.shards.borrow_mut()[0].horizon = Offset(20);
        world.store.shards.borrow_mut()[0].lost = Some((Offset(50), Offset(70)));
        world.sim.block_on(async {
            let client = world.client().await;
            let at = Start::At(Offset(5));
            let mut consumer = client.consumer(STREAM, shard(), at, options(mode)).await.unwrap();
            for _ in 0..2 {
                let error = consumer.next().await.unwrap().unwrap_err();
                assert!(matches!(error, Error::BeforeHorizon { horizon: Offset(20) }), "{error}");
            }
            consumer.seek(Offset(20));
            for offset in 20..50 {
                check_filled(&consumer.next().await.unwrap().unwrap(), offset);
            }
            let error = consumer.next().await.unwrap().unwrap_err();
            assert!(matches!(error, Error::Damaged { resume: Offset(70) }), "{error}");
            consumer.seek(Offset(70));
            check_filled(&consumer.next().await.unwrap().unwrap(), 70);
        });
    }
}

/// Goal: a consumer ends at the end of a closed shard, and, if told so, at the end of now; and says so again when asked.
#[test]
fn ends_where_it_should() {
    for mode in MODES {
        for stop in [Stop::Never, Stop::AtEnd] {
            let world = World::new(6, 1);
            world.fill(0, 25);
            world.sim.block_on(async {
                let client = world.client().await;
                let options = ConsumerOptions { stop, ..options(mode) };
                let mut consumer = client.consumer(STREAM, shard(), Start::Horizon, options).await.unwrap();
                for offset in 0..25 {
                    check_filled(&consumer.next().await.unwrap().unwrap(), offset);
                }
                if stop == Stop::Never {
                    world.close_shard(0);
                }
                assert!(consumer.next().await.is_none());
                assert!(consumer.next_batch().await.is_none());
            });
        }
    }
}

/// Goal: what is left of a frame after single records is the next batch, and nothing is handed out twice.
#[test]
fn batches_and_records_mix() {
    let world = World::new(7, 1);
    world.fill(0, 30);
    world.sim.block_on(async {
        let client = world.client().await;
        let mut consumer = client.consumer(STREAM, shard(), Start::Horizon, options(Mode::Get)).await.unwrap();
        check_filled(&consumer.next().await.unwrap().unwrap(), 0);
        let batch = consumer.next_batch().await.unwrap().unwrap();
        assert_eq!((batch.next_offset(), batch.end_offset(), batch.len()), (Offset(1), Offset(10), 9));
        check_filled(&consumer.next().await.unwrap().unwrap(), 10);
    });
}

/// Goal: a node that stays away is reported after the time for retries; a stream that is gone, at once.
#[test]
fn errors_that_do_not_pass_are_reported() {
    let world = World::new(8, 1);
    world.fill(0, 5);
    world.sim.block_on(async {
        let client = world.client().await;
        let options = ConsumerOptions { retry_for: Duration::from_secs(5), ..options(Mode::Push) };
        let mut consumer = client.consumer(STREAM, shard(), Start::Latest, options.clone()).await.unwrap();
        world.sim.kill(world.node);
        let start = client.reactor().now();
        let error = consumer.next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error}");
        assert!((2_000_000..15_000_000).contains(&client.reactor().now().since(start)));
        world.start();
        world.fill(0, 1);
        check_filled(&consumer.next().await.unwrap().unwrap(), 5);
        let missing = client.consumer(STREAM, ShardNumber(9), Start::Latest, options.clone()).await;
        assert!(matches!(missing, Err(Error::StreamGone(_))));
        let missing = client.consumer("nothing", shard(), Start::Latest, options).await;
        assert!(matches!(missing, Err(Error::StreamGone(_))));
    });
}

/// Goal: interruptions that passed are no reason to give up, however long ago the first one was, if nothing was put between them.
#[test]
fn a_quiet_shard_is_read_through_many_interruptions() {
    for mode in MODES {
        let world = World::new(9, 1);
        world.sim.block_on(async {
            let client = world.client().await;
            let mut consumer = client.consumer(STREAM, shard(), Start::Horizon, options(mode)).await.unwrap();
            let troubles = async {
                for _ in 0..5 {
                    client.reactor().sleep(options(mode).retry_for).await;
                    world.sim.cut_connections(world.node, Chance::percent(100));
                }
                client.reactor().sleep(options(mode).retry_for).await;
                world.fill(0, 1);
            };
            let (record, ()) = futures_lite::future::zip(consumer.next(), troubles).await;
            check_filled(&record.unwrap().unwrap(), 0);
        });
    }
}
