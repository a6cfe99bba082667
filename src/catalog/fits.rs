//! Which commands the state takes.
//!
//! Two questions, apart: whether a command *fits* is asked on every application, on every copy, and its answer never
//! changes with the build. Whether it is *admitted* is asked only before it enters the log: limits may differ between
//! builds.

use std::collections::BTreeSet;

use crate::catalog::command::{Command, CreateStream, Reshard};
use crate::catalog::consumer::ConsumerId;
use crate::catalog::error::CatalogError;
use crate::catalog::reshard;
use crate::catalog::settings::{Limits, Mode};
use crate::catalog::shard::{Shard, ShardState};
use crate::catalog::state::Catalog;
use crate::catalog::stream::{Status, Stream};
use crate::limits::{
    AWS_CONSUMERS_PER_STREAM, AWS_ENCRYPTION_CHANGES_PER_DAY, AWS_MODE_SWITCHES_PER_DAY, AWS_SCALINGS_PER_DAY,
    CONSUMERS_PER_STREAM_MAX, SHARDS_MAX, SHARDS_PER_STREAM_MAX, STREAMS_MAX, TAGS_MAX,
};
use crate::types::{Offset, ShardNumber, StreamId, WallUs};

/// The statuses in which a stream takes puts.
const SERVING: &[Status] = &[Status::Active, Status::Updating];

impl Catalog {
    /// Decides whether a command may enter the log: its values are within the limits and it fits the state, which must
    /// include all commands before it.
    pub fn check(&self, command: &Command) -> Result<(), CatalogError> {
        command.check_limits()?;
        self.fits(command)?;
        self.admits(command)
    }

    /// Checks a command against the state alone.
    pub(super) fn fits(&self, command: &Command) -> Result<(), CatalogError> {
        match command {
            Command::CreateStream(create) => self.fits_create(create),
            Command::ActivateStream { stream } => self.expect(*stream, &[Status::Creating]).map(drop),
            Command::UpdateStream { stream, change, .. } => {
                let settings = change.applied_to(self.expect(*stream, SERVING)?.settings);
                settings.conflict().map_or(Ok(()), |why| Err(CatalogError::Conflict { why }))
            }
            Command::DeleteStream { stream, enforce } => {
                let stream = self.expect(*stream, &[Status::Creating, Status::Active, Status::Updating])?;
                match stream.consumers.len() {
                    0 => Ok(()),
                    _ if *enforce => Ok(()),
                    count => Err(CatalogError::HasConsumers { name: stream.name.clone(), count }),
                }
            }
            Command::ForgetStream { stream } => self.expect(*stream, &[Status::Deleting]).map(drop),
            Command::Reshard(reshard) => self.fits_reshard(reshard),
            Command::FinishReshard { stream, ends, .. } => fits_finish(self.expect(*stream, SERVING)?, ends),
            Command::MoveShard { stream, shard, to } => {
                let stream = self.expect(*stream, SERVING)?;
                let shard = readable(stream, *shard)?;
                // Its owner is about to bring it to its end.
                if stream.pending_shards().any(|child| child.parents().any(|parent| parent == shard.number)) {
                    return Err(wrong(stream));
                }
                if shard.placed_on == *to { Err(CatalogError::NothingToChange) } else { Ok(()) }
            }
            Command::ScaleStream { stream, .. } => {
                let stream = self.expect(*stream, &[Status::Active])?;
                expect_provisioned(stream)
            }
            Command::ScaleDone { stream } => {
                let stream = self.expect(*stream, SERVING)?;
                let scaling = stream.scaling.is_some();
                if scaling { Ok(()) } else { Err(CatalogError::NotScaling { name: stream.name.clone() }) }
            }
            Command::ExpireShards { stream, shards } => {
                all_are(self.expect(*stream, SERVING)?, shards, |state| matches!(state, ShardState::Closed { .. }))
            }
            Command::ForgetShards { stream, shards } => {
                all_are(self.expect(*stream, SERVING)?, shards, |state| state == ShardState::Expired)
            }
            Command::SetEncryption { stream, .. } | Command::SetMonitoring { stream, .. } => {
                self.expect(*stream, SERVING).map(drop)
            }
            Command::TagStream { stream, consumer, .. } | Command::SetPolicy { stream, consumer, .. } => {
                let stream = self.expect(*stream, SERVING)?;
                consumer.map_or(Ok(()), |consumer| expect_consumer(stream, consumer))
            }
            Command::RegisterConsumer { stream, name, now, .. } => {
                let stream = self.expect(*stream, SERVING)?;
                if stream.consumers.contains_key(name) {
                    return Err(CatalogError::ConsumerTaken { name: name.clone() });
                }
                self.consumer_created(*now).map(drop)
            }
            Command::DeregisterConsumer { stream, consumer } => {
                expect_consumer(self.expect(*stream, SERVING)?, *consumer)
            }
            Command::Store(command) => Ok(self.store.fits(command)?),
        }
    }

    /// Checks a command that fits against the limits that concern the state.
    fn admits(&self, command: &Command) -> Result<(), CatalogError> {
        let stream = |id: &StreamId| self.stream(*id).expect("the command was found to fit");
        match command {
            Command::CreateStream(create) => {
                if self.streams.len() >= STREAMS_MAX {
                    return Err(CatalogError::StreamsFull);
                }
                self.admits_shards(create.shards())
            }
            Command::UpdateStream { stream: id, change, now } => {
                let stream = stream(id);
                let counts = change.applied_to(stream.settings).limits == Limits::Aws;
                let often = stream.mode_switches.in_last_day(*now) >= AWS_MODE_SWITCHES_PER_DAY;
                if change.switches(stream.settings.mode) && counts && often {
                    return Err(CatalogError::ModeSwitches);
                }
                Ok(())
            }
            Command::Reshard(Reshard { stream: id, ops, by_node, now, .. }) => {
                let stream = stream(id);
                let children = reshard::children(stream, ops, *now)?;
                let open = stream.open_shards().len() + children.len() - reshard::parents(ops);
                let open = u32::try_from(open).unwrap_or(u32::MAX);
                // A scaling may have more on its way to a target that was admitted.
                if open > SHARDS_PER_STREAM_MAX && !by_node {
                    return Err(CatalogError::StreamFull { open });
                }
                self.admits_shards(u32::try_from(children.len()).unwrap_or(u32::MAX))
            }
            Command::ScaleStream { stream: id, target, now } => admits_scaling(stream(id), *target, *now),
            Command::TagStream { stream: id, consumer, set, remove } => {
                let stream = stream(id);
                let consumer = consumer.and_then(|consumer| stream.consumer(consumer));
                let tags = consumer.map_or(&stream.metadata.tags, |consumer| &consumer.tags);
                let kept = tags.keys().filter(|key| !remove.contains(key) && !set.contains_key(*key)).count();
                if kept + set.len() > TAGS_MAX { Err(CatalogError::TagsFull) } else { Ok(()) }
            }
            Command::RegisterConsumer { stream: id, .. } => {
                let stream = stream(id);
                let max = match stream.settings.limits {
                    Limits::Aws => AWS_CONSUMERS_PER_STREAM,
                    Limits::None | Limits::Custom(_) => CONSUMERS_PER_STREAM_MAX,
                };
                if stream.consumers.len() >= max { Err(CatalogError::ConsumersFull { max }) } else { Ok(()) }
            }
            Command::SetEncryption { stream: id, key_id, now } => {
                let stream = stream(id);
                let changes = stream.encryption_changes(key_id.as_deref());
                let counts = stream.settings.limits == Limits::Aws && changes.is_some();
                let often = changes.is_some_and(|times| times.in_last_day(*now) >= AWS_ENCRYPTION_CHANGES_PER_DAY);
                if counts && often { Err(CatalogError::EncryptionChanges) } else { Ok(()) }
            }
            Command::Store(command) => Ok(self.store.admits(command)?),
            _ => Ok(()),
        }
    }

    fn admits_shards(&self, more: u32) -> Result<(), CatalogError> {
        let have = self.shard_count();
        if have + more as usize > SHARDS_MAX { Err(CatalogError::ShardsFull { have, more }) } else { Ok(()) }
    }

    fn fits_create(&self, create: &CreateStream) -> Result<(), CatalogError> {
        if let Some(Stream { status, .. }) = self.stream_by_name(&create.name) {
            return Err(CatalogError::NameTaken { name: create.name.clone(), status: *status });
        }
        if create.shards() == 0 {
            return Err(CatalogError::ShardCount { count: 0 });
        }
        if create.workers == 0 {
            return Err(CatalogError::NoWorkers);
        }
        create.settings.conflict().map_or(Ok(()), |why| Err(CatalogError::Conflict { why }))
    }

    fn fits_reshard(&self, reshard: &Reshard) -> Result<(), CatalogError> {
        let Reshard { stream, ref ops, by_node, now, workers } = *reshard;
        let stream = self.expect(stream, if by_node { SERVING } else { &[Status::Active] })?;
        if stream.pending_shards().next().is_some() {
            return Err(wrong(stream));
        }
        if !by_node {
            expect_provisioned(stream)?;
        }
        if workers == 0 {
            return Err(CatalogError::NoWorkers);
        }
        let children = reshard::children(stream, ops, now)?;
        if children.is_empty() {
            return Err(CatalogError::NothingToChange);
        }
        let numbers = u32::try_from(children.len()).ok().and_then(|count| stream.next_shard.0.checked_add(count));
        numbers.map(drop).ok_or_else(|| CatalogError::ShardNumbersUsedUp { name: stream.name.clone() })
    }

    /// When a consumer that is registered now is created: in a later second than any that is gone.
    pub(super) fn consumer_created(&self, now: WallUs) -> Result<WallUs, CatalogError> {
        if now.second() > self.consumers_gone.second() {
            return Ok(now);
        }
        let later = self.consumers_gone.0.checked_add(1_000_000).ok_or(CatalogError::Clock { now })?;
        Ok(WallUs(later))
    }

    fn expect(&self, id: StreamId, expected: &[Status]) -> Result<&Stream, CatalogError> {
        let stream = self.stream(id).ok_or(CatalogError::StreamUnknown { stream: id })?;
        if expected.contains(&stream.status) { Ok(stream) } else { Err(wrong(stream)) }
    }
}

fn wrong(stream: &Stream) -> CatalogError {
    CatalogError::StatusWrong { name: stream.name.clone(), status: stream.status }
}

fn expect_provisioned(stream: &Stream) -> Result<(), CatalogError> {
    match stream.settings.mode {
        Mode::Provisioned => Ok(()),
        mode => Err(CatalogError::ModeWrong { name: stream.name.clone(), mode }),
    }
}

fn expect_consumer(stream: &Stream, consumer: ConsumerId) -> Result<(), CatalogError> {
    stream.consumer(consumer).map(drop).ok_or(CatalogError::ConsumerUnknown { consumer })
}

/// The shard, unless nobody is to see it.
fn readable(stream: &Stream, number: ShardNumber) -> Result<&Shard, CatalogError> {
    let shard = stream.shard(number).filter(|shard| shard.is_readable());
    shard.ok_or_else(|| CatalogError::ShardUnknown { name: stream.name.clone(), shard: number })
}

/// Checks that there is an end for each parent of the reshard that has begun, and none else.
fn fits_finish(stream: &Stream, ends: &[(ShardNumber, Offset)]) -> Result<(), CatalogError> {
    let Some(pending) = stream.reshard_in_progress() else {
        return Err(CatalogError::NotResharding { name: stream.name.clone() });
    };
    let mut named: Vec<_> = ends.iter().map(|(shard, _)| *shard).collect();
    named.sort_unstable();
    if !named.into_iter().eq(pending.parents.iter().map(|parent| parent.shard)) {
        return Err(CatalogError::EndsWrong { name: stream.name.clone() });
    }
    Ok(())
}

/// Checks that the stream has all of these shards, each named once, in such a state.
fn all_are(stream: &Stream, shards: &[ShardNumber], such: impl Fn(ShardState) -> bool) -> Result<(), CatalogError> {
    if shards.is_empty() {
        return Err(CatalogError::NothingToChange);
    }
    let mut seen = BTreeSet::new();
    for number in shards {
        let shard = stream.shard(*number);
        let shard = shard.ok_or_else(|| CatalogError::ShardUnknown { name: stream.name.clone(), shard: *number })?;
        if !such(shard.state) {
            return Err(CatalogError::ShardStateWrong { shard: *number, state: shard.state });
        }
        if !seen.insert(*number) {
            return Err(CatalogError::ShardTwice { shard: *number });
        }
    }
    Ok(())
}

/// The rules of Kinesis for scaling, where they are asked for.
fn admits_scaling(stream: &Stream, target: u32, now: WallUs) -> Result<(), CatalogError> {
    if stream.settings.limits != Limits::Aws {
        return Ok(());
    }
    let open = u32::try_from(stream.open_shards().len()).unwrap_or(u32::MAX);
    if target > open.saturating_mul(2) || target.saturating_mul(2) < open {
        return Err(CatalogError::ScaleTarget { open, target });
    }
    if stream.scalings.in_last_day(now) >= AWS_SCALINGS_PER_DAY {
        return Err(CatalogError::Scalings);
    }
    Ok(())
}
