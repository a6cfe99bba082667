//! Those who split, merge, scale, move and change the stream of the workload while it is in use.

use std::time::Duration;

use super::{STREAM, World, passes};
use crate::client::{
    CapacityMode, Client, CustomLimits, Error, MetadataChange, SettingsChange, ShardDescription, ShardState,
    StreamDescription, StreamLimits, Tag,
};
use crate::protocol::ErrorCode;
use crate::runtime::Reactor;
use crate::sim::SimRuntime;
use crate::types::{HashKey, ShardNumber, WorkerId};

/// Most open shards that splits lead to.
const OPEN_MAX: u64 = 8;

/// Why a change of shards may be refused: another one is under way, or the shards are others by now; the node decides on
/// the number of shards itself; a limit of Kinesis'.
const RESHARD: &[ErrorCode] = &[
    ErrorCode::ReshardInProgress,
    ErrorCode::InvalidArgument,
    ErrorCode::ShardNotFound,
    ErrorCode::WrongMode,
    ErrorCode::LimitExceeded,
];

impl World {
    pub(super) async fn administer(&self, rt: &SimRuntime, number: u64) {
        let client = self.stream(rt).await;
        for round in 0..10 + self.draw(20) {
            while self.calm.get() {
                rt.sleep(Duration::from_millis(5)).await;
            }
            if self.producers_left.get() == 0 {
                break;
            }
            self.administering.set(self.administering.get() + 1);
            if let Some(description) = self.describe(&client).await {
                self.change(&client, &description, number, round).await;
            }
            self.administering.set(self.administering.get() - 1);
            rt.sleep(Duration::from_micros(self.draw(60_000))).await;
        }
    }

    async fn change(&self, client: &Client<SimRuntime>, stream: &StreamDescription, number: u64, round: u64) {
        let open = stream.shards.open();
        let some = open[self.draw(open.len() as u64) as usize];
        match self.draw(14) {
            0..=3 => self.split(client, open.len() as u64, &some).await,
            4..=5 => self.merge(client, open).await,
            6..=7 => self.scale(client, 1 + self.draw(OPEN_MAX) as u32).await,
            8..=10 => {
                let all = stream.shards.all();
                let any = all[self.draw(all.len() as u64) as usize];
                self.move_shard(client, any.number).await;
            }
            11 => self.update(client).await,
            12 => self.tag(client, number, round).await,
            _ => {
                let name = format!("reader-{}", self.draw(self.plan.clients as u64));
                let done = client.deregister_consumer(STREAM, &name).await;
                self.note(done, &[ErrorCode::ConsumerNotFound]);
            }
        }
    }

    /// Counts a change; gives what a successful one answered.
    fn note<T>(&self, result: Result<T, Error>, codes: &[ErrorCode]) -> Option<T> {
        let mut summary = self.summary.borrow_mut();
        match result {
            Ok(answer) => {
                summary.changes += 1;
                Some(answer)
            }
            Err(error) => {
                passes(&error, codes);
                summary.refused += 1;
                None
            }
        }
    }

    async fn split(&self, client: &Client<SimRuntime>, open: u64, shard: &ShardDescription) {
        let width = shard.hash_end.0 - shard.hash_start.0;
        if open >= OPEN_MAX || width == 0 {
            return;
        }
        let part = width / 1_000;
        let at = match self.draw(10) {
            // The keys at the edges: one side is a single key.
            0 => shard.hash_start.0 + 1,
            1 => shard.hash_end.0,
            _ => shard.hash_start.0 + (part * u128::from(self.draw(1_000))).max(1),
        };
        let done = client.split_shard(STREAM, shard.number, HashKey(at)).await;
        if let Some(answer) = self.note(done, RESHARD) {
            assert_eq!(answer.children.len(), 2, "children of a split");
            self.is_closed(client, shard.number).await;
        }
    }

    async fn merge(&self, client: &Client<SimRuntime>, open: &[ShardDescription]) {
        if open.len() < 2 {
            return;
        }
        let at = self.draw(open.len() as u64 - 1) as usize;
        let (mut one, mut other) = (open[at].number, open[at + 1].number);
        if self.draw(2) == 0 {
            std::mem::swap(&mut one, &mut other);
        }
        let done = client.merge_shards(STREAM, one, other).await;
        if let Some(answer) = self.note(done, RESHARD) {
            assert_eq!(answer.children.len(), 1, "children of a merge");
            self.is_closed(client, one).await;
            self.is_closed(client, other).await;
        }
    }

    /// A reshard succeeded: whoever is asked says so.
    async fn is_closed(&self, client: &Client<SimRuntime>, number: ShardNumber) {
        if let Some(after) = self.describe(client).await {
            let state = after.shards.shard(number).map(|shard| shard.state);
            assert_eq!(state, Some(ShardState::Closed), "{number} was split or merged");
        }
    }

    async fn scale(&self, client: &Client<SimRuntime>, target: u32) {
        let done = client.scale_stream(STREAM, target).await;
        if self.note(done, RESHARD).is_some()
            && self.plan.administrators == 1
            && let Some(after) = self.describe(client).await
            && after.settings.mode == CapacityMode::Provisioned
        {
            assert_eq!(after.shards.open().len(), target as usize, "open shards after a scaling");
        }
    }

    async fn move_shard(&self, client: &Client<SimRuntime>, shard: ShardNumber) {
        let to = WorkerId(self.draw(self.machine.workers().into()) as u16);
        let start = self.starts.get();
        // Counted even if it fails: the shard may have been closed and opened.
        self.summary.borrow_mut().moves += 1;
        let done = client.move_shard(STREAM, shard, to).await;
        // A worker that is gone after a restart.
        if self.note(done, RESHARD).is_some()
            && self.plan.administrators == 1
            && let Some(after) = self.describe(client).await
            && start == self.starts.get()
            && let Some(after) = after.shards.shard(shard)
        {
            assert_eq!(after.worker, to, "{shard} was moved");
        }
    }

    async fn update(&self, client: &Client<SimRuntime>) {
        let mut change = SettingsChange::default();
        match self.draw(4) {
            0 => change.retention_hours = Some(24 + self.draw(24) as u32),
            1 => change.record_bytes_max = Some((1 << 20) + self.draw(1 << 20) as u32),
            2 if !self.plan.throttled => {
                let write_records_s = 50 + self.draw(500);
                let custom = CustomLimits { write_records_s, read_calls_s: self.draw(100), ..CustomLimits::default() };
                let limits = [StreamLimits::None, StreamLimits::Aws, StreamLimits::Custom(custom)];
                change.limits = Some(limits[self.draw(3) as usize]);
            }
            _ => {
                let modes = [CapacityMode::Provisioned, CapacityMode::OnDemand { shards_min: 1, shards_max: 10 }];
                change.mode = Some(modes[self.draw(3).min(1) as usize ^ 1]);
            }
        }
        let done = client.update_stream(STREAM, change).await;
        self.note(done, &[ErrorCode::LimitExceeded, ErrorCode::ReshardInProgress, ErrorCode::InvalidArgument]);
    }

    async fn tag(&self, client: &Client<SimRuntime>, number: u64, round: u64) {
        let (key, value) = (format!("administrator-{number}"), round.to_string());
        let set = vec![Tag { key: &key, value: &value }];
        let done = client.set_metadata(STREAM, None, MetadataChange::Tags { set, remove: Vec::new() }).await;
        if self.note(done, &[]).is_some() {
            match client.metadata(STREAM, None).await {
                Ok(metadata) => assert_eq!(metadata.tags.get(&key), Some(&value), "a tag that was set"),
                Err(error) => passes(&error, &[]),
            }
        }
    }
}
