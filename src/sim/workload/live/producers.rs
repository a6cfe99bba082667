//! Producers of the workload on streams that live: the client's, which deliver each record once, in order.

use std::collections::VecDeque;
use std::time::Duration;

use super::{STREAM, World, passes};
use crate::client::{Client, Producer, ProducerOptions, Ticket};
use crate::runtime::Reactor;
use crate::sim::SimRuntime;
use crate::sim::workload::contents::DATA_BYTES_MIN;

/// Numbers of producers that put one record and are gone.
const PROBES: u64 = 1 << 32;

impl World {
    pub(super) async fn produce(&self, rt: &SimRuntime, number: u64) {
        let client = self.stream(rt).await;
        let mut producer = self.producer(&client).await;
        let mut waiting: VecDeque<(u64, Ticket)> = VecDeque::new();
        for _ in 0..self.plan.puts {
            let (id, ticket) = self.put(&producer, number).await;
            waiting.push_back((id, ticket));
            match self.draw(40) {
                0 => self.settle_tickets(&mut waiting, 0).await,
                1 => {
                    // Another one goes on: with the first one closed, the order holds.
                    producer.close().await.expect("every record was delivered");
                    self.settle_tickets(&mut waiting, 0).await;
                    producer = self.producer(&client).await;
                }
                2..=9 => self.settle_tickets(&mut waiting, 30).await,
                10..=14 => rt.sleep(Duration::from_micros(self.draw(40_000))).await,
                _ => {}
            }
        }
        self.settle_tickets(&mut waiting, 0).await;
        producer.close().await.expect("every record was delivered");
        self.producers_left.set(self.producers_left.get() - 1);
    }

    /// One record, of a producer of its own.
    pub(super) async fn probe(&self, rt: &SimRuntime, number: u64) {
        let client = self.stream(rt).await;
        let producer = self.producer(&client).await;
        let mut waiting = VecDeque::from([self.put(&producer, PROBES + number).await]);
        self.settle_tickets(&mut waiting, 0).await;
        producer.close().await.expect("every record was delivered");
    }

    pub(super) async fn producer(&self, client: &Client<SimRuntime>) -> Producer<SimRuntime> {
        let options = ProducerOptions {
            batch_bytes_max: [1_000, 50_000, 512 << 10][self.draw(3) as usize],
            batch_records_max: [1, 3, 1_000][self.draw(3) as usize],
            linger: Duration::from_micros([0, 0, 2_000][self.draw(3) as usize]),
            buffer_bytes_max: [60_000, 32 << 20][self.draw(2) as usize],
            ..ProducerOptions::default()
        };
        loop {
            match client.producer(STREAM, options.clone()).await {
                Ok(producer) => return producer,
                Err(error) => passes(&error, &[]),
            }
        }
    }

    pub(super) async fn put(&self, producer: &Producer<SimRuntime>, number: u64) -> (u64, Ticket) {
        let below = [50, 50, 1_000, 1_000, 20_000, 20_000, 60_000, 200_000][self.draw(8) as usize];
        let bytes = DATA_BYTES_MIN + self.draw(if self.plan.throttled { 5_000 } else { below }) as u32;
        let (id, key, data) = self.ledger.borrow_mut().put(number, bytes);
        let ticket = producer.send(&key, &data).await.expect("a record that the stream takes");
        (id, ticket)
    }

    /// Waits for acknowledgements until so many are open.
    pub(super) async fn settle_tickets(&self, waiting: &mut VecDeque<(u64, Ticket)>, left: usize) {
        while waiting.len() > left {
            let Some((id, ticket)) = waiting.pop_front() else { return };
            match ticket.wait().await {
                Ok(ack) => {
                    self.ledger.borrow_mut().acked(id, &ack);
                    let mut summary = self.summary.borrow_mut();
                    summary.acked += 1;
                    summary.duplicates += u64::from(ack.duplicate);
                }
                Err(error) => panic!("record {id} was not delivered: {error}"),
            }
        }
    }
}
