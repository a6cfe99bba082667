//! The fake node's administration: reshards, moves, consumers, metadata, and the requests to the store.

use std::rc::Rc;
use std::time::Duration;

use super::server::Link;
use super::{FakeShard, STREAM, Store};
use crate::protocol::messages::{
    ChildShard, ConsumerDescription, DeregisterConsumerAnswer, GetMetadataAnswer, LeaseClaimAnswer, LeaseReleaseAnswer,
    LeaseRenewAnswer, ListConsumersAnswer, MetadataChange, MoveShardAnswer, RegisterConsumerAnswer, ReshardAnswer,
    ScaleKind, ScaleStep, ScaleStreamAnswer, SetMetadataAnswer, ShardDescription, ShardEnd, ShardState, Start,
    StoreDeleteAnswer, StoreGetAnswer, StoreItem, StoreListAnswer, StorePutAnswer, Tag,
};
use crate::protocol::{Encode, Envelope, ErrorAnswer, ErrorCode, Opcode, Request};
use crate::runtime::{Reactor, TaskClass};
use crate::types::{HashKey, Offset, ShardNumber, WallUs, WorkerId};

type Refusal = ErrorAnswer<'static>;

/// How long a scaling takes: longer than a client waits for an ordinary answer.
const SCALING: Duration = Duration::from_secs(20);

/// What every scaling is said to take. It splits the first open shard, so it reaches targets one above only.
const STEP: ScaleStep =
    ScaleStep { round: 0, kind: ScaleKind::Split, start: HashKey(0), at: HashKey(1), end: HashKey(2) };

impl Store {
    fn changed_catalogue(&self) -> u64 {
        self.version.set(self.version.get() + 1);
        self.changed.notify();
        self.version.get()
    }

    fn index(&self, number: ShardNumber) -> Result<usize, Refusal> {
        let shards = self.shards.borrow();
        let found = shards.iter().position(|shard| shard.description.number == number);
        found.ok_or_else(|| ErrorAnswer::new(ErrorCode::ShardNotFound))
    }

    /// Adds pending children of these parents with these ranges; gives their places.
    pub(in crate::client) fn begin(&self, parents: &[usize], ranges: &[(u128, u128)]) -> Vec<usize> {
        let mut shards = self.shards.borrow_mut();
        let numbers: Vec<_> = parents.iter().map(|at| shards[*at].description.number).collect();
        let made = ranges.iter().map(|(start, end)| {
            let at = shards.len();
            let mut child = FakeShard::new(at as u32, *start, *end);
            child.description.state = ShardState::Pending;
            child.description.parent = numbers.first().copied();
            child.description.adjacent_parent = numbers.get(1).copied();
            shards.push(child);
            at
        });
        let made = made.collect();
        drop(shards);
        self.changed_catalogue();
        made
    }

    /// Closes the parents and opens the children.
    pub(in crate::client) fn finish(&self, parents: &[usize], children: &[usize], at: WallUs) -> ReshardAnswer {
        let mut shards = self.shards.borrow_mut();
        for parent in parents {
            let offset = shards[*parent].end();
            let description = &mut shards[*parent].description;
            (description.state, description.closed) = (ShardState::Closed, Some(ShardEnd { at, offset }));
        }
        for child in children {
            shards[*child].description.state = ShardState::Open;
        }
        let children = children.iter().map(|child| shards[*child].description).collect();
        drop(shards);
        ReshardAnswer { catalogue_version: self.changed_catalogue(), children }
    }

    fn open(&self, number: ShardNumber) -> Result<(usize, ShardDescription), Refusal> {
        let at = self.index(number)?;
        let description = self.shards.borrow()[at].description;
        match description.state {
            ShardState::Open => Ok((at, description)),
            _ => Err(ErrorAnswer::new(ErrorCode::InvalidArgument)),
        }
    }

    pub(in crate::client) fn split(
        &self,
        shard: ShardNumber,
        at: HashKey,
        now: WallUs,
    ) -> Result<ReshardAnswer, Refusal> {
        let (parent, ShardDescription { hash_start, hash_end, .. }) = self.open(shard)?;
        if at <= hash_start || at > hash_end {
            return Err(ErrorAnswer::new(ErrorCode::InvalidArgument));
        }
        let children = self.begin(&[parent], &[(hash_start.0, at.0 - 1), (at.0, hash_end.0)]);
        Ok(self.finish(&[parent], &children, now))
    }

    pub(in crate::client) fn merge(
        &self,
        shard: ShardNumber,
        adjacent: ShardNumber,
        now: WallUs,
    ) -> Result<ReshardAnswer, Refusal> {
        let ((first, a), (second, b)) = (self.open(shard)?, self.open(adjacent)?);
        let (low, high) = if a.hash_start < b.hash_start { (a, b) } else { (b, a) };
        if low.hash_end.0.checked_add(1) != Some(high.hash_start.0) {
            return Err(ErrorAnswer::new(ErrorCode::InvalidArgument));
        }
        let children = self.begin(&[first, second], &[(low.hash_start.0, high.hash_end.0)]);
        Ok(self.finish(&[first, second], &children, now))
    }

    pub(super) fn open_shards(&self) -> u32 {
        self.shards.borrow().iter().filter(|shard| shard.description.state == ShardState::Open).count() as u32
    }

    fn scaled(&self, now: WallUs) {
        let first = self.shards.borrow().iter().map(|shard| shard.description).find(|shard| shard.closed.is_none());
        let ShardDescription { number, hash_start, hash_end, .. } = first.expect("an open shard");
        let middle = HashKey(hash_start.0 + (hash_end.0 - hash_start.0) / 2);
        self.split(number, middle, now).expect("the middle is inside");
        self.scaling.set(None);
    }

    pub(in crate::client) fn move_to(&self, shard: ShardNumber, to: WorkerId) -> Result<MoveShardAnswer, Refusal> {
        let at = self.index(shard)?;
        self.shards.borrow_mut()[at].description.worker = to;
        Ok(MoveShardAnswer { catalogue_version: self.changed_catalogue() })
    }
}

impl Link {
    /// Answers what [`Link::answer`] leaves over. The answers to changes may get lost, as those to puts.
    pub(super) fn administer(self: &Rc<Self>, request: &Request<'_>, correlation: u64) {
        let opcode = request.opcode();
        let store = &self.store;
        if store.mute.get() {
            return;
        }
        match request {
            Request::StoreGet(_) | Request::StoreList(_) | Request::LeaseRenew(_) => {}
            _ => store.catalogue_calls.set(store.catalogue_calls.get() + 1),
        }
        let of_stream = match request {
            Request::SplitShard(request) => request.stream,
            Request::MergeShards(request) => request.stream,
            Request::ScaleStream(request) => request.stream,
            Request::MoveShard(request) => request.stream,
            Request::GetMetadata(request) => request.stream,
            Request::SetMetadata(request) => request.stream,
            Request::RegisterConsumer(request) => request.stream,
            Request::DeregisterConsumer(request) => request.stream,
            Request::ListConsumers(request) => request.stream,
            Request::DescribeConsumer(request) => request.stream,
            _ => STREAM,
        };
        if of_stream != STREAM {
            return self.fail(opcode as u8, correlation, &ErrorAnswer::new(ErrorCode::StreamNotFound));
        }
        if let Err(error) = self.carry_out(request, opcode, correlation) {
            self.fail(opcode as u8, correlation, &error);
        }
    }

    fn done(&self, opcode: Opcode, correlation: u64, answer: &impl Encode) -> Result<(), Refusal> {
        let is_lost = self.chance(self.store.faults.get().lose) || self.store.lose_change.get();
        match is_lost {
            true => self.end(),
            false => self.write(Envelope::answer(opcode, correlation), answer, &[]),
        }
        Ok(())
    }

    fn carry_out(self: &Rc<Self>, request: &Request<'_>, opcode: Opcode, correlation: u64) -> Result<(), Refusal> {
        let (store, now, wall) = (&self.store, self.rt.now(), self.rt.wall());
        let at = |space: &str, key: &str| (space.to_owned(), key.to_owned());
        let (consumers, version) = (&store.consumers, store.version.get());
        let unknown = || ErrorAnswer::new(ErrorCode::ConsumerNotFound);
        let found = |name: &str| consumers.borrow().iter().position(|(_, other)| other == name).ok_or_else(unknown);
        macro_rules! done {
            ($answer:expr) => {
                self.done(opcode, correlation, &$answer)
            };
        }
        match request {
            Request::SplitShard(split) => done!(store.split(split.shard, split.at, wall)?),
            Request::MergeShards(merge) => done!(store.merge(merge.shard, merge.adjacent, wall)?),
            Request::MoveShard(request) => done!(store.move_to(request.shard, request.to)?),
            Request::ScaleStream(scale) => {
                let open_shards = store.open_shards();
                let steps = if open_shards == scale.target { Vec::new() } else { vec![STEP] };
                let answer = ScaleStreamAnswer { open_shards, catalogue_version: version, steps };
                if scale.plan_only || answer.steps.is_empty() {
                    return self.done(opcode, correlation, &answer);
                }
                store.scaling.set(Some(scale.target));
                let link = Rc::clone(self);
                self.rt.spawn(TaskClass::Latency, async move {
                    link.rt.sleep(SCALING).await;
                    link.store.scaled(link.rt.wall());
                    link.write(Envelope::answer(opcode, correlation), &answer, &[]);
                });
                if store.lose_change.get() {
                    self.end();
                }
                Ok(())
            }
            Request::GetMetadata(_) => {
                let metadata = store.metadata.borrow();
                done!(GetMetadataAnswer {
                    tags: metadata.tags.iter().map(|(key, value)| Tag { key, value }).collect(),
                    encryption_key: metadata.encryption_key.as_deref().unwrap_or(""),
                    monitoring: metadata.monitoring,
                    policy: metadata.policy.as_deref().unwrap_or(""),
                })
            }
            Request::SetMetadata(set) => {
                let mut metadata = store.metadata.borrow_mut();
                let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                match &set.change {
                    MetadataChange::Tags { set, remove } => {
                        metadata.tags.retain(|key, _| !remove.contains(&&**key));
                        metadata.tags.extend(set.iter().map(|tag| (tag.key.to_owned(), tag.value.to_owned())));
                    }
                    MetadataChange::Encryption(key) => metadata.encryption_key = text(key),
                    MetadataChange::Monitoring(metrics) => metadata.monitoring = *metrics,
                    MetadataChange::Policy(policy) => metadata.policy = text(policy),
                }
                done!(SetMetadataAnswer { catalogue_version: version })
            }
            Request::RegisterConsumer(register) => {
                if found(register.name).is_ok() {
                    return Err(ErrorAnswer::new(ErrorCode::ConsumerExists));
                }
                let id = store.catalogue_calls.get().into();
                consumers.borrow_mut().push((id, register.name.to_owned()));
                let consumer = ConsumerDescription { id, created: WallUs(0), name: register.name };
                done!(RegisterConsumerAnswer { catalogue_version: version, consumer })
            }
            Request::DeregisterConsumer(request) => {
                consumers.borrow_mut().remove(found(request.name)?);
                store.changed.notify();
                done!(DeregisterConsumerAnswer { catalogue_version: version })
            }
            Request::DescribeConsumer(request) => {
                let (id, name) = consumers.borrow()[found(request.name)?].clone();
                done!(ConsumerDescription { id, created: WallUs(0), name: &name })
            }
            Request::ListConsumers(list) => {
                let mut all = consumers.borrow().clone();
                all.retain(|(_, name)| **name > *list.after);
                all.sort_by(|(_, a), (_, b)| a.cmp(b));
                let page = all.iter().take(store.page.get());
                let consumers =
                    page.map(|(id, name)| ConsumerDescription { id: *id, created: WallUs(0), name }).collect();
                done!(ListConsumersAnswer { consumers, more: all.len() > store.page.get() })
            }
            Request::StoreGet(get) => {
                let values = store.values.borrow();
                let item = values.items(get.space, now).find(|item| item.key == get.key);
                done!(StoreGetAnswer { item })
            }
            Request::StoreList(list) => {
                let values = store.values.borrow();
                let wanted = |item: &StoreItem<'_>| item.key.starts_with(list.prefix) && item.key > list.after;
                let all: Vec<_> = values.items(list.space, now).filter(wanted).collect();
                let items = all.iter().take(store.page.get()).copied().collect();
                done!(StoreListAnswer { items, more: all.len() > store.page.get() })
            }
            Request::StorePut(put) => {
                let put = store.values.borrow_mut().put(at(put.space, put.key), put.value, put.expect, put.token);
                done!(StorePutAnswer { version: put? })
            }
            Request::StoreDelete(delete) => {
                let at = at(delete.space, delete.key);
                let deleted = store.values.borrow_mut().delete(&at, delete.expect, delete.token);
                done!(StoreDeleteAnswer { existed: deleted? })
            }
            Request::LeaseClaim(claim) => {
                let mut values = store.values.borrow_mut();
                let at = at(claim.space, claim.key);
                let token = values.claim(at, claim.owner, claim.ttl_ms, claim.take_from, now)?;
                let item = values.items(claim.space, now).find(|item| item.key == claim.key);
                done!(LeaseClaimAnswer { token, item: item.expect("just claimed") })
            }
            Request::LeaseRenew(renew) => {
                let mut values = store.values.borrow_mut();
                let renewals = renew.renewals.iter();
                let held = renewals.map(|one| values.renew(&at(renew.space, one.key), one.token, now)).collect();
                drop(values);
                done!(LeaseRenewAnswer { held })
            }
            Request::LeaseRelease(release) => {
                let at = at(release.space, release.key);
                store.values.borrow_mut().release(&at, release.token)?;
                done!(LeaseReleaseAnswer)
            }
            _ => Err(ErrorAnswer::new(ErrorCode::UnsupportedOpcode).details(opcode as u64, 0)),
        }
    }
}

/// What a shard's subscription says at its end.
pub(super) fn children_of(shards: &[FakeShard], parent: ShardNumber) -> Vec<ChildShard> {
    let all = shards.iter().map(|shard| shard.description);
    let children = all.filter(|shard| [shard.parent, shard.adjacent_parent].contains(&Some(parent)));
    children
        .map(|shard| ChildShard {
            number: shard.number,
            group: shard.group,
            hash_start: shard.hash_start,
            hash_end: shard.hash_end,
            parent: shard.parent,
            adjacent_parent: shard.adjacent_parent,
        })
        .collect()
}

/// The offset that a place stands for.
pub(super) fn offset_of(shard: &FakeShard, start: Start) -> Offset {
    match start {
        Start::Horizon => shard.horizon,
        Start::Latest => shard.end(),
        Start::At(offset) => offset,
        Start::After(offset) => offset.plus(1),
        Start::AtTime(time) => {
            let later = shard.frames.iter().find(|(_, _, frame)| {
                crate::format::frame::FrameHeader::decode(frame).is_ok_and(|header| header.arrival_us >= time)
            });
            later.map_or(shard.end(), |(base, _, _)| *base)
        }
    }
}
