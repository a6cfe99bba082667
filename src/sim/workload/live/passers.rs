//! A stream that comes and goes: created, used, deleted, and created again under the same name at once.

use std::time::Duration;

use super::{World, passes};
use crate::client::{Client, ConsumerOptions, Mode, ProducerOptions, SettingsChange, Start, Stop};
use crate::protocol::ErrorCode;
use crate::runtime::Reactor;
use crate::sim::SimRuntime;
use crate::types::{HashKey, ShardNumber};

/// Its name.
const PASSING: &str = "passing";

impl World {
    pub(super) async fn pass(&self, rt: &SimRuntime) {
        let client = self.stream(rt).await;
        for life in 0..2 + self.draw(8) {
            self.be_born(&client).await;
            let records = self.draw(6);
            self.fill(&client, life, records).await;
            if self.draw(2) == 0 {
                let at = HashKey(1 + u128::from(self.draw(u64::MAX)));
                if let Err(error) = client.split_shard(PASSING, ShardNumber(0), at).await {
                    passes(&error, &[ErrorCode::InvalidArgument, ErrorCode::ReshardInProgress]);
                }
            }
            self.read_life(&client, life, records).await;
            self.die(&client).await;
            if self.draw(2) == 0 {
                rt.sleep(Duration::from_micros(self.draw(100_000))).await;
            }
        }
    }

    async fn be_born(&self, client: &Client<SimRuntime>) {
        let mut is_known_to_be_gone = true;
        let shards = 1 + self.draw(3) as u32;
        while let Err(error) = client.create_stream(PASSING, shards, SettingsChange::default()).await {
            if !is_known_to_be_gone && error.code() == Some(ErrorCode::StreamExists) {
                break;
            }
            // Nobody else creates it.
            passes(&error, &[]);
            is_known_to_be_gone &= !error.is_outcome_unknown();
        }
        self.summary.borrow_mut().changes += 1;
    }

    async fn die(&self, client: &Client<SimRuntime>) {
        let mut is_known_to_be_there = true;
        while let Err(error) = client.delete_stream(PASSING, false).await {
            if !is_known_to_be_there && error.code() == Some(ErrorCode::StreamNotFound) {
                break;
            }
            passes(&error, &[]);
            is_known_to_be_there &= !error.is_outcome_unknown();
        }
        self.summary.borrow_mut().changes += 1;
    }

    async fn fill(&self, client: &Client<SimRuntime>, life: u64, records: u64) {
        let producer = loop {
            match client.producer(PASSING, ProducerOptions::default()).await {
                Ok(producer) => break producer,
                Err(error) => passes(&error, &[]),
            }
        };
        for number in 0..records {
            let key = format!("key-{number}");
            let put = producer.put(&key, format!("{life}").as_bytes()).await;
            put.unwrap_or_else(|error| panic!("life {life}, record {number}: {error}"));
        }
    }

    /// Everything there is, is of this life, and all of it is there.
    async fn read_life(&self, client: &Client<SimRuntime>, life: u64, records: u64) {
        let mode = if self.draw(2) == 0 { Mode::Get } else { Mode::Push };
        let options = ConsumerOptions { mode, stop: Stop::AtEnd, ..ConsumerOptions::default() };
        let mut merged = loop {
            match client.merged(PASSING, Start::Horizon, options.clone()).await {
                Ok(merged) => break merged,
                Err(error) => passes(&error, &[]),
            }
        };
        let mut keys = Vec::new();
        while let Some(record) = merged.next().await {
            let record = record.unwrap_or_else(|error| panic!("life {life}: {error}"));
            assert_eq!(record.data(), format!("{life}").as_bytes(), "a record of an earlier stream of the name");
            keys.push(record.key().to_owned());
        }
        keys.sort();
        let put: Vec<_> = (0..records).map(|number| format!("key-{number}")).collect();
        assert_eq!(keys, put, "life {life}");
    }
}
