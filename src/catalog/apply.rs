//! How commands change the state.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::command::{Command, CreateStream, Reshard};
use crate::catalog::consumer::{Consumer, ConsumerId};
use crate::catalog::error::CatalogError;
use crate::catalog::event::{Event, Placed};
use crate::catalog::metadata::{Encryption, Metadata, Tags};
use crate::catalog::range::HashRange;
use crate::catalog::reshard;
use crate::catalog::settings::SettingsChange;
use crate::catalog::shard::{Shard, ShardState};
use crate::catalog::state::Catalog;
use crate::catalog::stream::{Status, Stream, Times};
use crate::limits::{AWS_ENCRYPTION_CHANGES_PER_DAY, AWS_MODE_SWITCHES_PER_DAY, AWS_SCALINGS_PER_DAY};
use crate::types::{Offset, ShardNumber, StreamId, WallUs, WorkerId};

impl Catalog {
    /// Applies a committed command. Never fails for one that [`Catalog::check`] let pass on the state it is applied to;
    /// one that does not fit is refused and changes nothing, in the same way on every copy.
    pub fn apply(&mut self, command: &Command) -> Result<Vec<Event>, CatalogError> {
        self.fits(command)?;
        if let Command::Store(command) = command {
            let (version, token) = self.store.apply(command);
            return Ok(vec![Event::Stored { version, token }]);
        }
        self.version += 1;
        Ok(match command {
            Command::CreateStream(create) => vec![self.create(create)],
            Command::ActivateStream { stream } => vec![self.activate(*stream)],
            Command::UpdateStream { stream, change, now } => vec![self.update(*stream, change, *now)],
            Command::DeleteStream { stream, .. } => vec![self.delete(*stream)],
            Command::ForgetStream { stream } => vec![self.forget(*stream)],
            Command::Reshard(reshard) => vec![self.reshard(reshard)],
            Command::FinishReshard { stream, ends, now } => self.finish_reshard(*stream, ends, *now),
            Command::MoveShard { stream, shard, to } => vec![self.move_shard(*stream, *shard, *to)],
            Command::ScaleStream { stream, target, now } => self.scale(*stream, *target, *now),
            Command::ScaleDone { stream } => vec![self.scale_done(*stream)],
            Command::ExpireShards { stream, shards } => vec![self.expire(*stream, shards)],
            Command::ForgetShards { stream, shards } => vec![self.forget_shards(*stream, shards)],
            Command::TagStream { stream, consumer, set, remove } => {
                let stream_mut = self.stream_mut(*stream);
                let tags = match consumer {
                    Some(consumer) => &mut consumer_mut(stream_mut, *consumer).tags,
                    None => &mut stream_mut.metadata.tags,
                };
                remove.iter().for_each(|key| drop(tags.remove(key)));
                tags.extend(set.clone());
                vec![Event::MetadataUpdated { stream: *stream }]
            }
            Command::SetEncryption { stream, key_id, now } => {
                let encryption = key_id.clone().map(|key_id| Encryption { key_id });
                let stream_mut = self.stream_mut(*stream);
                if stream_mut.metadata.encryption != encryption {
                    let times = match encryption {
                        Some(_) => &mut stream_mut.encryption_starts,
                        None => &mut stream_mut.encryption_stops,
                    };
                    times.note(*now, AWS_ENCRYPTION_CHANGES_PER_DAY);
                }
                stream_mut.metadata.encryption = encryption;
                vec![Event::MetadataUpdated { stream: *stream }]
            }
            Command::SetMonitoring { stream, metrics } => {
                self.stream_mut(*stream).metadata.monitoring = *metrics;
                vec![Event::MetadataUpdated { stream: *stream }]
            }
            Command::SetPolicy { stream, consumer, policy } => {
                let stream_mut = self.stream_mut(*stream);
                *match consumer {
                    Some(consumer) => &mut consumer_mut(stream_mut, *consumer).policy,
                    None => &mut stream_mut.metadata.policy,
                } = policy.clone();
                vec![Event::MetadataUpdated { stream: *stream }]
            }
            Command::RegisterConsumer { stream, name, tags, now } => vec![self.register(*stream, name, tags, *now)],
            Command::DeregisterConsumer { stream, consumer } => vec![self.deregister(*stream, *consumer)],
            Command::Store(_) => unreachable!("it was applied above"),
        })
    }

    fn create(&mut self, create: &CreateStream) -> Event {
        let id = self.next_stream;
        let count = create.shards();
        let workers = self.placement.place(count, create.workers);
        let places = (0..).zip(HashRange::uniform(count)).zip(workers);
        let shards: Vec<_> = places
            .map(|((n, range), placed_on)| Shard {
                number: ShardNumber(n),
                group: self.next_group.plus(n.into()),
                range,
                placed_on,
                created: create.now,
                parent: None,
                adjacent_parent: None,
                state: ShardState::Open,
            })
            .collect();
        let placed = placed(&shards);
        let stream = Stream {
            id,
            name: create.name.clone(),
            created: create.now,
            status: Status::Creating,
            settings: create.settings,
            expired_before: WallUs(0),
            scaling: None,
            scalings: Times::default(),
            mode_switches: Times::default(),
            encryption_starts: Times::default(),
            encryption_stops: Times::default(),
            metadata: Metadata { tags: create.tags.clone(), ..Metadata::default() },
            consumers: BTreeMap::new(),
            next_shard: ShardNumber(count),
            shards,
            routes: Vec::new(),
        };
        self.next_stream = StreamId(id.0 + 1);
        self.next_group = self.next_group.plus(count.into());
        self.insert(stream.checked().expect("uniform ranges cover the key space"))
            .expect("the name is free, and numbers are never handed out twice");
        Event::StreamCreating { stream: id, shards: placed }
    }

    fn activate(&mut self, id: StreamId) -> Event {
        self.stream_mut(id).status = Status::Active;
        Event::StreamActive { stream: id }
    }

    fn update(&mut self, id: StreamId, change: &SettingsChange, now: WallUs) -> Event {
        let stream = self.stream_mut(id);
        let old = stream.settings;
        let settings = change.applied_to(old);
        if settings.retention_hours != old.retention_hours {
            // What has expired by either retention stays so, whatever the next one is and whatever the clock does.
            let kept = old.retention_us().min(settings.retention_us());
            stream.expired_before = stream.expired_before.max(WallUs(now.0.saturating_sub(kept)));
        }
        if change.switches(old.mode) {
            stream.mode_switches.note(now, AWS_MODE_SWITCHES_PER_DAY);
        }
        stream.settings = settings;
        Event::StreamUpdated { stream: id, settings, expired_before: stream.expired_before }
    }

    fn delete(&mut self, id: StreamId) -> Event {
        let stream = self.streams.get_mut(&id).expect("the command was found to fit");
        stream.status = Status::Deleting;
        self.by_name.remove(&stream.name);
        stream.shards.iter().filter(|shard| shard.is_load()).for_each(|shard| self.placement.remove(shard.placed_on));
        let gone = stream.consumers.values().map(|consumer| consumer.created).max();
        self.consumers_gone = self.consumers_gone.max(gone.unwrap_or_default());
        Event::StreamDeleting { stream: id, shards: placed(&stream.shards) }
    }

    fn forget(&mut self, id: StreamId) -> Event {
        let stream = self.streams.remove(&id).expect("the command was found to fit");
        for shard in &stream.shards {
            self.by_group.remove(&shard.group);
        }
        Event::StreamForgotten { stream: id, shards: placed(&stream.shards) }
    }

    fn reshard(&mut self, reshard: &Reshard) -> Event {
        let id = reshard.stream;
        let stream = self.streams.get_mut(&id).expect("the command was found to fit");
        let children = reshard::children(stream, &reshard.ops, reshard.now).expect("the command was found to fit");
        let count = u32::try_from(children.len()).expect("there are numbers left for them");
        let workers = self.placement.place(count, reshard.workers);
        for ((n, child), placed_on) in (0..).zip(children).zip(workers) {
            let shard = Shard {
                number: ShardNumber(stream.next_shard.0 + n),
                group: self.next_group.plus(n.into()),
                range: child.range,
                placed_on,
                created: child.created,
                parent: Some(child.parent),
                adjacent_parent: child.adjacent_parent,
                state: ShardState::Pending,
            };
            self.placement.add(placed_on);
            self.by_group.insert(shard.group, (id, shard.number));
            stream.shards.push(shard);
        }
        stream.next_shard.0 += count;
        self.next_group = self.next_group.plus(count.into());
        stream.settle();
        let pending = stream.reshard_in_progress().expect("it has just begun");
        Event::ReshardBegun { stream: id, parents: pending.parents, children: pending.children }
    }

    fn finish_reshard(&mut self, id: StreamId, ends: &[(ShardNumber, Offset)], now: WallUs) -> Vec<Event> {
        let stream = self.streams.get_mut(&id).expect("the command was found to fit");
        let pending = stream.reshard_in_progress().expect("the command was found to fit");
        for (number, end) in ends {
            let shard = stream.shard_mut(*number).expect("the command was found to fit");
            // A clock that was set back must not make it older than it is.
            shard.state = ShardState::Closed { end: *end, at: now.max(shard.created) };
            self.placement.remove(shard.placed_on);
        }
        stream.shards.iter_mut().filter(|shard| shard.is_pending()).for_each(|shard| shard.state = ShardState::Open);
        stream.settle();
        let mut events = vec![Event::ReshardFinished { stream: id, closed: pending.parents, opened: pending.children }];
        if stream.scaling.is_some_and(|target| stream.is_uniform(target)) {
            stream.scaling = None;
            stream.settle();
            events.push(Event::ScalingEnded { stream: id });
        }
        events
    }

    fn move_shard(&mut self, id: StreamId, number: ShardNumber, to: WorkerId) -> Event {
        let stream = self.streams.get_mut(&id).expect("the command was found to fit");
        let shard = stream.shard_mut(number).expect("the command was found to fit");
        let from = std::mem::replace(&mut shard.placed_on, to);
        if shard.is_load() {
            self.placement.add(to);
            self.placement.remove(from);
        }
        Event::ShardMoved { stream: id, shard: shard.placed(), from }
    }

    fn scale(&mut self, id: StreamId, target: u32, now: WallUs) -> Vec<Event> {
        let stream = self.stream_mut(id);
        stream.scalings.note(now, AWS_SCALINGS_PER_DAY);
        let begun = Event::ScalingBegun { stream: id, target };
        if stream.is_uniform(target) {
            return vec![begun, Event::ScalingEnded { stream: id }];
        }
        stream.scaling = Some(target);
        stream.settle();
        vec![begun]
    }

    fn scale_done(&mut self, id: StreamId) -> Event {
        let stream = self.stream_mut(id);
        stream.scaling = None;
        stream.settle();
        Event::ScalingEnded { stream: id }
    }

    fn expire(&mut self, id: StreamId, shards: &[ShardNumber]) -> Event {
        let stream = self.stream_mut(id);
        let expire = |number: &ShardNumber| {
            let shard = stream.shard_mut(*number).expect("the command was found to fit");
            shard.state = ShardState::Expired;
            shard.placed()
        };
        Event::ShardsExpired { stream: id, shards: shards.iter().map(expire).collect() }
    }

    fn forget_shards(&mut self, id: StreamId, shards: &[ShardNumber]) -> Event {
        let stream = self.streams.get_mut(&id).expect("the command was found to fit");
        let place = |number: &ShardNumber| stream.shard(*number).expect("the command was found to fit").placed();
        let forgotten: Vec<_> = shards.iter().map(place).collect();
        for shard in &forgotten {
            self.by_group.remove(&shard.group);
        }
        let numbers: BTreeSet<_> = shards.iter().collect();
        stream.shards.retain(|shard| !numbers.contains(&shard.number));
        stream.settle();
        Event::ShardsForgotten { stream: id, shards: forgotten }
    }

    fn register(&mut self, id: StreamId, name: &str, tags: &Tags, now: WallUs) -> Event {
        let created = self.consumer_created(now).expect("the command was found to fit");
        let consumer = self.next_consumer;
        self.next_consumer = ConsumerId(consumer.0 + 1);
        let name = name.to_owned();
        let new = Consumer { id: consumer, name: name.clone(), created, tags: tags.clone(), policy: None };
        self.stream_mut(id).consumers.insert(name, new);
        Event::ConsumerRegistered { stream: id, consumer }
    }

    fn deregister(&mut self, id: StreamId, consumer: ConsumerId) -> Event {
        let stream = self.stream_mut(id);
        let Consumer { name, created, .. } = consumer_mut(stream, consumer).clone();
        stream.consumers.remove(&name);
        self.consumers_gone = self.consumers_gone.max(created);
        Event::ConsumerDeregistered { stream: id, consumer }
    }

    fn stream_mut(&mut self, id: StreamId) -> &mut Stream {
        self.streams.get_mut(&id).expect("the command was found to fit")
    }
}

fn consumer_mut(stream: &mut Stream, id: ConsumerId) -> &mut Consumer {
    let consumer = stream.consumers.values_mut().find(|consumer| consumer.id == id);
    consumer.expect("the command was found to fit")
}

fn placed(shards: &[Shard]) -> Vec<Placed> {
    shards.iter().map(Shard::placed).collect()
}
