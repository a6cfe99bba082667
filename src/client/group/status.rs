//! The items of an application, and what operators do with them: look, and start over.

use std::time::Duration;

use super::checkpoint::Checkpoint;
use super::member::held_token;
use crate::client::client::{Client, StreamDescription};
use crate::client::error::{Error, Result};
use crate::protocol::messages::{Expect, ShardState, Start};
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::runtime::Reactor;
use crate::runtime::local::join_all;
use crate::types::{ShardNumber, StreamId};

/// How long whoever prepares an application's items keeps others from it, should it die meanwhile.
const BEGIN_TTL: Duration = Duration::from_secs(5);

/// What the item of an application that has begun holds: the version of its items.
const BEGUN: &[u8] = &[1];

/// An application and a stream it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Members alive, by name.
    pub members: Vec<GroupMember>,
    /// Every shard of the stream, by number.
    pub shards: Vec<GroupShard>,
}

/// A member alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// What it calls itself.
    pub name: String,
    /// When it is taken for dead unless it shows a sign of life.
    pub remaining: Duration,
    /// How many shards it has.
    pub shards: u32,
}

/// A shard, as the application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupShard {
    /// The shard.
    pub shard: ShardNumber,
    /// Where the application goes on.
    pub checkpoint: Checkpoint,
    /// The member that reads it.
    pub owner: Option<String>,
}

fn group_key(stream: StreamId) -> String {
    format!("group/{}", stream.0)
}

/// The item of a member; with an empty name what all of them begin with.
pub(super) fn member_key(stream: StreamId, member: &str) -> String {
    format!("member/{}/{member}", stream.0)
}

pub(super) fn shard_prefix(stream: StreamId) -> String {
    format!("shard/{}/", stream.0)
}

pub(super) fn shard_key(stream: StreamId, shard: ShardNumber) -> String {
    format!("shard/{}/{:010}", stream.0, shard.0)
}

pub(super) fn shard_of(stream: StreamId, key: &str) -> Option<ShardNumber> {
    key.strip_prefix(&*shard_prefix(stream))?.parse().ok().map(ShardNumber)
}

pub(super) fn check_start(start: Start) -> Result<()> {
    match start {
        Start::At(_) | Start::After(_) => {
            Err(Error::Argument("an offset is a place in one shard, not in all of a stream"))
        }
        Start::Horizon | Start::Latest | Start::AtTime(_) => Ok(()),
    }
}

/// The lease of the group's own item: one at a time prepares the others.
struct Turn {
    key: String,
    token: u64,
    begun: bool,
}

async fn take_turn<R: Reactor>(client: &Client<R>, space: &str, stream: StreamId, me: &str) -> Result<Turn> {
    let (key, rt) = (group_key(stream), client.reactor());
    let mut own = None;
    loop {
        match client.lease_claim(space, &key, me, BEGIN_TTL, own).await {
            Ok(item) => {
                let token = item.lease.map_or(0, |lease| lease.token);
                return Ok(Turn { key, token, begun: &*item.value == BEGUN });
            }
            Err(error) => {
                own = match &error {
                    // Its answer was lost.
                    Error::Node(answer) if answer.message == me => held_token(&error),
                    _ => None,
                };
                if held_token(&error).is_none() && !error.is_outcome_unknown() {
                    return Err(error);
                }
                rt.sleep(Duration::from_millis(50 + rt.random() % 100)).await;
            }
        }
    }
}

/// Sees to it that the application has begun: that its first places are noted. The first member does it; whoever comes
/// meanwhile waits.
pub(super) async fn begin<R: Reactor>(
    client: &Client<R>,
    space: &str,
    stream: &StreamDescription,
    start: Start,
    me: &str,
) -> Result<()> {
    let group = client.store_get(space, &group_key(stream.id)).await?;
    // With a lease, somebody is about to set the places anew.
    if group.is_some_and(|group| &*group.value == BEGUN && group.lease.is_none()) {
        return Ok(());
    }
    let turn = take_turn(client, space, stream.id, me).await?;
    if !turn.begun {
        for (key, checkpoint) in places(client, stream, start).await? {
            match client.store_put(space, &key, &checkpoint.encode(), Expect::Absent, None).await {
                Ok(_) => {}
                // Noted by one who died before it was through: the older place is the better one.
                Err(error) if error.code() == Some(ErrorCode::VersionMismatch) => {}
                Err(error) => return Err(error),
            }
        }
        client.store_put(space, &turn.key, BEGUN, Expect::Any, Some(turn.token)).await?;
    }
    client.lease_release(space, &turn.key, turn.token).await
}

/// The places of all shards there are that `start` stands for now. Those that need no note are left out.
async fn places<R: Reactor>(
    client: &Client<R>,
    stream: &StreamDescription,
    start: Start,
) -> Result<Vec<(String, Checkpoint)>> {
    let shards = stream.shards.all().iter().filter(|shard| shard.state != ShardState::Pending);
    let noted = join_all(shards.map(async |shard| {
        let is_open = stream.shards.is_open(shard.group);
        let checkpoint = match start {
            Start::Horizon => return Ok(None),
            Start::Latest if !is_open => Checkpoint::Ended,
            start => Checkpoint::At(client.position(shard, start).await?.offset),
        };
        Ok(Some((shard_key(stream.id, shard.number), checkpoint)))
    }));
    noted.await.into_iter().filter_map(Result::transpose).collect()
}

impl<R: Reactor> Client<R> {
    /// The members of an application that reads a stream, and how far it is.
    pub async fn group_status(&self, application: &str, stream: &str) -> Result<GroupStatus> {
        let description = self.describe_stream(stream).await?;
        let prefix = member_key(description.id, "");
        let items = self.store_list(application, &shard_prefix(description.id)).await?;
        let shards: Vec<_> = description
            .shards
            .all()
            .iter()
            .filter(|shard| shard.state != ShardState::Pending)
            .map(|shard| {
                let key = shard_key(description.id, shard.number);
                let item = items.iter().find(|item| item.key == key);
                let lease = item.and_then(|item| item.lease.as_ref()).filter(|lease| !lease.remaining.is_zero());
                let checkpoint = item.map_or(Ok(Checkpoint::Horizon), |item| Checkpoint::decode(&item.value));
                Ok(GroupShard {
                    shard: shard.number,
                    checkpoint: checkpoint.map_err(|_| Error::Argument("the application's items are not a group's"))?,
                    owner: lease.map(|lease| lease.owner.clone()),
                })
            })
            .collect::<Result<_>>()?;
        let members = self.store_list(application, &prefix).await?;
        let members = members
            .into_iter()
            .filter_map(|item| {
                let lease = item.lease.filter(|lease| !lease.remaining.is_zero())?;
                let name = item.key.strip_prefix(&*prefix)?.to_owned();
                let has = shards.iter().filter(|shard| shard.owner.as_ref() == Some(&name)).count() as u32;
                Some(GroupMember { name, remaining: lease.remaining, shards: has })
            })
            .collect();
        Ok(GroupStatus { members, shards })
    }

    /// Sets an application back, or forward, to `to` in all shards of a stream.
    ///
    /// # Errors
    /// `LeaseHeld` while a member is alive. When an outcome is unknown some shards may be at the new place and others not:
    /// asking again is safe.
    pub async fn group_reset(&self, application: &str, stream: &str, to: Start) -> Result<()> {
        check_start(to)?;
        let description = self.describe_stream(stream).await?;
        let me = format!("reset-{:016x}", self.reactor().random());
        let turn = take_turn(self, application, description.id, &me).await?;
        let reset = self.reset_items(application, &description, to, &me).await;
        if reset.is_ok() && !turn.begun {
            self.store_put(application, &turn.key, BEGUN, Expect::Any, Some(turn.token)).await?;
        }
        let released = self.lease_release(application, &turn.key, turn.token).await;
        reset.and(released)
    }

    async fn reset_items(&self, application: &str, description: &StreamDescription, to: Start, me: &str) -> Result<()> {
        let members = self.store_list(application, &member_key(description.id, "")).await?;
        let lease = members.iter().filter_map(|item| item.lease.as_ref()).find(|lease| !lease.remaining.is_zero());
        if let Some(lease) = lease {
            let (owner, left) = (lease.owner.clone(), lease.remaining.as_millis() as u64);
            let error = ErrorAnswer::new(ErrorCode::LeaseHeld).details(lease.token, left).message(owner);
            return Err(Error::node(error));
        }
        let places = places(self, description, to).await?;
        for item in self.store_list(application, &shard_prefix(description.id)).await? {
            // A lease that a dead member left is in the way; one that lives is refused.
            let claimed = self.lease_claim(application, &item.key, me, BEGIN_TTL, None).await?;
            let token = claimed.lease.map(|lease| lease.token);
            self.store_delete(application, &item.key, Expect::Any, token).await?;
        }
        for (key, checkpoint) in places {
            self.store_put(application, &key, &checkpoint.encode(), Expect::Absent, None).await?;
        }
        Ok(())
    }
}
