//! Getting: GetRecords at an interval, or what is pushed.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::{Instant, sleep_until};

use super::super::{Consumer, Failure, From, Received, ShardRef};
use super::CALL_TIMEOUT;
use super::api::{Api, not_understood};
use super::messages::{
    ChildShard, GetRecords, GetRecordsAnswer, GetShardIterator, GetShardIteratorAnswer, GotRecord, shard_id,
};
use super::push::PushConsumer;
use crate::workload::Read;

/// Most records of one answer, the most the API knows.
const RECORDS_MAX: u32 = 10_000;

/// Reads one shard.
pub enum KinesisConsumer {
    /// Asks for records.
    Poll(PollConsumer),
    /// Is sent them.
    Push(PushConsumer),
}

/// Asks for the records of one shard.
pub struct PollConsumer {
    api: Rc<Api>,
    stream: String,
    shard: String,
    interval: Duration,
    /// Where to read on; none when the shard is over.
    iterator: Option<String>,
    /// The sequence number of the last record handed over, for a new iterator.
    last: Option<String>,
    /// When to ask again.
    due: Instant,
    /// An answer that was not handed over yet.
    kept: Option<bytes::Bytes>,
    /// Data of the record being handed over.
    data: Vec<u8>,
    /// The shards that go on with the keys of this one, once it is over.
    children: Vec<ShardRef>,
}

impl PollConsumer {
    pub(super) async fn open(api: Rc<Api>, stream: &str, shard: u32, from: From, read: &Read) -> Result<Self, Failure> {
        let mut consumer = Self {
            api,
            stream: stream.to_owned(),
            shard: shard_id(shard),
            interval: Duration::from_nanos(read.interval.0),
            iterator: None,
            last: None,
            due: Instant::now(),
            kept: None,
            data: Vec::new(),
            children: Vec::new(),
        };
        let kind = match from {
            From::Start => "TRIM_HORIZON",
            From::End => "LATEST",
        };
        consumer.iterator = Some(consumer.iterator(kind, None).await?);
        // An endpoint may make up its mind what LATEST means when it is asked for records, so it is asked here.
        consumer.kept = Some(consumer.get().await?);
        Ok(consumer)
    }

    async fn iterator(&self, kind: &str, after: Option<&str>) -> Result<String, Failure> {
        let request = GetShardIterator {
            stream_name: &self.stream,
            shard_id: &self.shard,
            shard_iterator_type: kind,
            starting_sequence_number: after,
        };
        let answer: GetShardIteratorAnswer = self.api.call("GetShardIterator", &request, CALL_TIMEOUT).await?;
        Ok(answer.shard_iterator)
    }

    /// Asks for records at the place where reading goes on.
    async fn get(&self) -> Result<bytes::Bytes, Failure> {
        let Some(iterator) = &self.iterator else { return Ok(bytes::Bytes::new()) };
        let request = GetRecords { shard_iterator: iterator, limit: RECORDS_MAX };
        let body = serde_json::to_vec(&request).expect("requests are plain structs");
        self.api.send("GetRecords", body.into(), CALL_TIMEOUT).await
    }

    /// Hands the records of an answer over and moves on behind them.
    fn visit(&mut self, text: &[u8], visit: &mut dyn FnMut(&str, &[u8])) -> Result<Received, Failure> {
        let answer: GetRecordsAnswer<'_> =
            serde_json::from_slice(text).map_err(|error| not_understood("GetRecords", &error))?;
        hand_over(&answer.records, &mut self.data, visit);
        if let Some(record) = answer.records.last() {
            self.last = Some(record.sequence_number.clone().into_owned());
        }
        if !answer.records.is_empty() && answer.millis_behind_latest.is_some_and(|behind| behind > 0) {
            self.due = Instant::now();
        }
        self.children = answer.child_shards.iter().map(ChildShard::named).collect::<Result<_, _>>()?;
        self.iterator = answer.next_shard_iterator;
        Ok(Received { records: answer.records.len() as u64, ended: self.iterator.is_none() })
    }

    async fn next(&mut self, visit: &mut dyn FnMut(&str, &[u8])) -> Result<Received, Failure> {
        if let Some(text) = self.kept.take() {
            return self.visit(&text, visit);
        }
        if self.iterator.is_none() {
            return Ok(Received { records: 0, ended: true });
        }
        sleep_until(self.due).await;
        let asked = Instant::now();
        let answer = self.get().await;
        self.due = asked + self.interval;
        match answer {
            Ok(text) => self.visit(&text, visit),
            Err(failure) => {
                if let ("expired_iterator", Some(last)) = (&*failure.kind, &self.last) {
                    self.iterator = Some(self.iterator("AFTER_SEQUENCE_NUMBER", Some(last)).await?);
                }
                Err(failure)
            }
        }
    }
}

impl Consumer for KinesisConsumer {
    async fn next(&mut self, visit: &mut dyn FnMut(&str, &[u8])) -> Result<Received, Failure> {
        match self {
            Self::Poll(consumer) => consumer.next(visit).await,
            Self::Push(consumer) => consumer.next(visit).await,
        }
    }

    async fn children(&mut self) -> Result<Vec<ShardRef>, Failure> {
        Ok(match self {
            Self::Poll(consumer) => consumer.children.clone(),
            Self::Push(consumer) => consumer.children.clone(),
        })
    }
}

/// Decodes records into `data`, one after the other, and hands each over.
pub(super) fn hand_over(records: &[GotRecord<'_>], data: &mut Vec<u8>, visit: &mut dyn FnMut(&str, &[u8])) {
    for record in records {
        data.clear();
        // It is handed over all the same: an unreadable record is a damaged one, and whoever verifies says so.
        if STANDARD.decode_vec(record.data.as_bytes(), data).is_err() {
            data.clear();
        }
        visit(&record.partition_key, data);
    }
}
