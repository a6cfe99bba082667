//! Between the words of the protocol and those of the catalogue.

use crate::catalog::{self, Bounds, Mode, Status};
use crate::limits::{ON_DEMAND_SHARDS_MAX_DEFAULT, ON_DEMAND_SHARDS_MIN_DEFAULT};
use crate::protocol::messages::{
    CapacityMode, ConsumerDescription, CustomLimits, Distribution, SettingsChange, ShardDescription, ShardEnd,
    ShardState, Start, StreamLimits, StreamSettings, StreamStatus,
};
use crate::runtime::Runtime;
use crate::server::worker::Worker;
use crate::shard::position;

pub(super) const fn start(start: Start) -> position::Start {
    match start {
        Start::Horizon => position::Start::Horizon,
        Start::Latest => position::Start::Latest,
        Start::At(offset) => position::Start::At(offset),
        Start::After(offset) => position::Start::After(offset),
        Start::AtTime(time) => position::Start::AtTime(time),
    }
}

pub(super) const fn status(status: Status) -> StreamStatus {
    match status {
        Status::Creating => StreamStatus::Creating,
        Status::Active => StreamStatus::Active,
        Status::Updating => StreamStatus::Updating,
        Status::Deleting => StreamStatus::Deleting,
    }
}

pub(super) fn settings(settings: &catalog::Settings) -> StreamSettings {
    StreamSettings {
        retention_hours: settings.retention_hours,
        record_bytes_max: settings.record_bytes_max,
        durability: settings.durability,
        limits: match settings.limits {
            catalog::Limits::None => StreamLimits::None,
            catalog::Limits::Aws => StreamLimits::Aws,
            catalog::Limits::Custom(limits) => StreamLimits::Custom(CustomLimits {
                write_records_s: limits.write_records_s.into(),
                write_bytes_s: limits.write_bytes_s,
                read_calls_s: limits.read_calls_s.into(),
                read_bytes_s: limits.read_bytes_s,
                fanout_bytes_s: limits.fanout_bytes_s,
            }),
        },
        mode: match settings.mode {
            Mode::Provisioned => CapacityMode::Provisioned,
            Mode::OnDemand(Bounds { shards_min, shards_max }) => CapacityMode::OnDemand { shards_min, shards_max },
        },
        distribution: match settings.distribution {
            catalog::Distribution::PartitionKey => Distribution::PartitionKey,
            catalog::Distribution::Auto => Distribution::Auto,
        },
        warm_throughput_mib: settings.warm_throughput_mib,
        get_records_wait_ms: settings.get_records_wait_ms,
    }
}

pub(super) fn change(change: &SettingsChange) -> catalog::SettingsChange {
    catalog::SettingsChange {
        retention_hours: change.retention_hours,
        record_bytes_max: change.record_bytes_max,
        durability: change.durability,
        limits: change.limits.map(limits),
        mode: change.mode.map(mode),
        distribution: change.distribution.map(|distribution| match distribution {
            Distribution::PartitionKey => catalog::Distribution::PartitionKey,
            Distribution::Auto => catalog::Distribution::Auto,
        }),
        warm_throughput_mib: change.warm_throughput_mib,
        get_records_wait_ms: change.get_records_wait_ms,
    }
}

fn limits(limits: StreamLimits) -> catalog::Limits {
    // More than four thousand million records a second are no limit to anybody.
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    match limits {
        StreamLimits::None => catalog::Limits::None,
        StreamLimits::Aws => catalog::Limits::Aws,
        StreamLimits::Custom(limits) => catalog::Limits::Custom(catalog::CustomLimits {
            write_records_s: count(limits.write_records_s),
            write_bytes_s: limits.write_bytes_s,
            read_calls_s: count(limits.read_calls_s),
            read_bytes_s: limits.read_bytes_s,
            fanout_bytes_s: limits.fanout_bytes_s,
        }),
    }
}

const fn mode(mode: CapacityMode) -> Mode {
    match mode {
        CapacityMode::Provisioned => Mode::Provisioned,
        CapacityMode::OnDemand { shards_min, shards_max } => Mode::OnDemand(Bounds {
            shards_min: if shards_min == 0 { ON_DEMAND_SHARDS_MIN_DEFAULT } else { shards_min },
            shards_max: if shards_max == 0 { ON_DEMAND_SHARDS_MAX_DEFAULT } else { shards_max },
        }),
    }
}

pub(super) fn shard<R: Runtime>(worker: &Worker<R>, shard: &catalog::Shard) -> ShardDescription {
    let is_damaged = worker.quarantined.borrow().contains(&shard.group);
    ShardDescription {
        number: shard.number,
        group: shard.group,
        hash_start: shard.range.start,
        hash_end: shard.range.end,
        worker: shard.worker(worker.count),
        state: match shard.state {
            catalog::ShardState::Pending => ShardState::Pending,
            _ if is_damaged => ShardState::Quarantined,
            catalog::ShardState::Open => ShardState::Open,
            catalog::ShardState::Closed { .. } | catalog::ShardState::Expired => ShardState::Closed,
        },
        parent: shard.parent,
        adjacent_parent: shard.adjacent_parent,
        created: shard.created,
        closed: match shard.state {
            catalog::ShardState::Closed { end, at } => Some(ShardEnd { at, offset: end }),
            _ => None,
        },
    }
}

pub(super) fn consumer(consumer: &catalog::Consumer) -> ConsumerDescription<'_> {
    ConsumerDescription { id: consumer.id.0, created: consumer.created, name: &consumer.name }
}
