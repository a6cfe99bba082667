//! Changes of a stream while it is in use.

use millstream::client::{Client, CustomLimits, Error, SettingsChange, ShardDescription, StreamLimits};
use millstream::runtime::tokio::TokioReactor;
use millstream::types::{HashKey, WorkerId};

use crate::workload::{ChangeKind, Changes};

/// Limits that no run comes near: everything is metered, nothing refused.
const METERED: CustomLimits = CustomLimits {
    write_records_s: 100_000_000,
    write_bytes_s: 100_000_000_000,
    read_calls_s: 100_000_000,
    read_bytes_s: 100_000_000_000,
    fanout_bytes_s: 100_000_000_000,
};

/// Makes a change; `dice` decides what it leaves open.
pub(super) async fn make(
    client: &Client<TokioReactor>,
    stream: &str,
    change: ChangeKind,
    limits: &Changes,
    dice: u64,
) -> Result<(), Error> {
    let described = client.describe_open_shards(stream).await?;
    let open = described.shards.open();
    let any = &open[dice as usize % open.len()];
    let settings = match change {
        // A stream that cannot have more, or fewer, changes the other way.
        ChangeKind::Split if open.len() >= limits.shards_max as usize => {
            return merge(client, stream, open, dice).await;
        }
        ChangeKind::Merge if open.len() == 1 => return split(client, stream, any).await,
        ChangeKind::Split => return split(client, stream, any).await,
        ChangeKind::Merge => return merge(client, stream, open, dice).await,
        ChangeKind::Scale => {
            let target = 1 + (dice % u64::from(limits.shards_max)) as u32;
            return client.scale_stream(stream, target).await.map(drop);
        }
        ChangeKind::Move => {
            let workers = client.node().direct_ports.len().max(1) as u64;
            let to = WorkerId(((u64::from(any.worker.0) + 1 + (dice >> 32) % workers.max(2)) % workers) as u16);
            return client.move_shard(stream, any.number, to).await.map(drop);
        }
        ChangeKind::Retention => {
            SettingsChange { retention_hours: Some(24 + (dice % 25) as u32), ..SettingsChange::NONE }
        }
        ChangeKind::Limits => {
            let new = match described.settings.limits {
                StreamLimits::None => StreamLimits::Custom(METERED),
                StreamLimits::Aws | StreamLimits::Custom(_) => StreamLimits::None,
            };
            SettingsChange { limits: Some(new), ..SettingsChange::NONE }
        }
    };
    client.update_stream(stream, settings).await.map(drop)
}

async fn split(client: &Client<TokioReactor>, stream: &str, shard: &ShardDescription) -> Result<(), Error> {
    let half = (shard.hash_end.0 - shard.hash_start.0) / 2;
    client.split_shard(stream, shard.number, HashKey(shard.hash_start.0 + half + 1)).await.map(drop)
}

async fn merge(client: &Client<TokioReactor>, stream: &str, open: &[ShardDescription], dice: u64) -> Result<(), Error> {
    let at = dice as usize % (open.len() - 1);
    client.merge_shards(stream, open[at].number, open[at + 1].number).await.map(drop)
}
