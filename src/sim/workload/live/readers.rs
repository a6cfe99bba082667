//! Readers of the workload on streams that live: all shards from their first record on, parents before children.

use std::time::Duration;

use futures_lite::future::or;

use super::ledger::Pass;
use super::{STREAM, World, passes};
use crate::client::{Client, ConsumerOptions, Merged, Mode, Start, Stop};
use crate::protocol::ErrorCode;
use crate::runtime::Reactor;
use crate::sim::SimRuntime;

/// How often a reader looks whether it has everything.
const LOOK: Duration = Duration::from_millis(50);

/// A reader that misses something gets a record this often at least: connections of a host that lost power break after two
/// seconds, and an answer that does not come is given up after 15, and after the wait of a get.
const SILENCE: Duration = Duration::from_secs(100);

/// What becomes of a reader.
enum Outcome {
    /// It has seen everything.
    Whole,
    /// Its registered consumer is gone, or it began at a bad moment.
    Again,
}

impl World {
    pub(super) async fn read(&self, rt: &SimRuntime, number: u64) {
        let client = self.stream(rt).await;
        for round in 0.. {
            let consumer = match (number + round) % 3 {
                2 => self.register(&client, &format!("reader-{number}")).await,
                _ => None,
            };
            let options = ConsumerOptions {
                mode: if (number + round).is_multiple_of(3) { Mode::Get } else { Mode::Push },
                stop: Stop::Never,
                bytes_max: [70_000, 1 << 20][self.draw(2) as usize],
                wait: Duration::from_millis(self.draw(200)),
                consumer,
                // Two starts one after the other whose disk hangs keep the node away for a minute.
                retry_for: SILENCE,
            };
            let name = format!("reader {number}, {:?} {consumer:?}", options.mode);
            let Ok(mut merged) = client.merged(STREAM, Start::Horizon, options).await.inspect_err(|error| {
                passes(error, &[ErrorCode::ConsumerNotFound]);
            }) else {
                continue;
            };
            if let Outcome::Whole = self.follow(rt, &mut merged, Pass::new(name, 0)).await {
                return;
            }
        }
    }

    async fn follow(&self, rt: &SimRuntime, merged: &mut Merged<SimRuntime>, mut pass: Pass) -> Outcome {
        let mut last_us = rt.now();
        loop {
            let next = async { Some(merged.next().await) };
            let look = async {
                rt.sleep(LOOK).await;
                None
            };
            match or(next, look).await {
                Some(Some(Ok(record))) => {
                    self.summary.borrow_mut().records_read += 1;
                    last_us = rt.now();
                    pass.see(&self.ledger.borrow(), &self.lineage.borrow(), &record);
                }
                Some(Some(Err(error))) => {
                    assert_eq!(error.error.code(), Some(ErrorCode::ConsumerNotFound), "{error}");
                    return Outcome::Again;
                }
                Some(None) => panic!("a stream that takes records has come to its end for a reader"),
                None => {
                    if self.producers_left.get() > 0 {
                        continue;
                    }
                    let Some(missed) = pass.misses(&self.ledger.borrow()) else { return Outcome::Whole };
                    let waited = Duration::from_micros(rt.now().since(last_us));
                    let (ledger, reading) = (self.ledger.borrow(), merged.shards());
                    assert!(
                        waited < SILENCE,
                        "{} reads {reading:?}: {} does not come",
                        pass.name(),
                        ledger.tell(missed)
                    );
                }
            }
        }
    }

    /// The number of a reader's registered consumer, if it could be registered.
    async fn register(&self, client: &Client<SimRuntime>, name: &str) -> Option<u64> {
        if let Err(error) = client.register_consumer(STREAM, name, &[]).await {
            passes(&error, &[ErrorCode::ConsumerExists]);
        }
        match client.describe_consumer(STREAM, name).await {
            Ok(consumer) => Some(consumer.id),
            Err(error) => {
                passes(&error, &[ErrorCode::ConsumerNotFound]);
                None
            }
        }
    }
}
