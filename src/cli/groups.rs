//! `millstream group`: applications whose members share the shards of a stream. To be a member is `millstream tail --group`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::args::{GroupArgs, GroupCommand, GroupListArgs, GroupResetArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::moment::From;
use crate::cli::output::{say, table};
use crate::cli::remote::{self, Remote, failure};
use crate::client::group::{Checkpoint, GroupMember, GroupShard, GroupStatus};
use crate::client::{Error, Start};
use crate::protocol::ErrorCode;
use crate::protocol::messages::PositionAnswer;
use crate::runtime::Reactor;
use crate::runtime::local::join_all;
use crate::types::ShardNumber;

/// Shards that are asked for their bounds at the same time.
const ASKED_TOGETHER: usize = 256;

/// Runs a `group` command.
pub fn run(command: &GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::List(args) => list(args),
        GroupCommand::Describe(args) => describe(args),
        GroupCommand::Reset(args) => reset(args),
    }
}

fn list(args: &GroupListArgs) -> Result<(), Failure> {
    let groups = remote::with(&args.node, async |client| {
        let mut groups = Vec::new();
        for name in client.groups(&args.stream).await.map_err(|error| failure(&error))? {
            let status = client.group_status(&name, &args.stream).await.map_err(|error| failure(&error))?;
            groups.push((name, status));
        }
        Ok(groups)
    })?;
    let unread = |status: &GroupStatus| {
        let is_open = |shard: &&GroupShard| shard.checkpoint != Checkpoint::Ended && shard.owner.is_none();
        status.shards.iter().filter(is_open).count()
    };
    if args.output.json {
        let line = |(name, status): &(String, GroupStatus)| {
            let group =
                json!({"group": name, "members": status.members.len(), "shards_without_a_member": unread(status)});
            format!("{group}\n")
        };
        return say(&groups.iter().map(line).collect::<String>());
    }
    let rows: Vec<_> = groups
        .iter()
        .map(|(name, status)| [name.clone(), status.members.len().to_string(), unread(status).to_string()])
        .collect();
    say(&table(["GROUP", "MEMBERS", "SHARDS NOBODY READS"], &rows))
}

/// A shard as an application sees it.
struct Row {
    shard: ShardNumber,
    checkpoint: Checkpoint,
    owner: Option<String>,
    /// Records it has not processed; `None` if the shard cannot be asked.
    behind: Option<u64>,
}

fn describe(args: &GroupArgs) -> Result<(), Failure> {
    let (members, rows) = remote::with(&args.node, async |client| {
        let status = client.group_status(&args.group, &args.stream).await.map_err(|error| failure(&error))?;
        let items = client.store_list(&args.group, "").await.map_err(|error| failure(&error))?;
        if items.is_empty() {
            let message = format_args!("no application {} has read {} so far", args.group, args.stream);
            return Err(Failure::new(Exit::NotFound, message));
        }
        let members = status.members.clone();
        Ok((members, rows(&client, &args.stream, status).await.map_err(|error| failure(&error))?))
    })?;
    match args.output.json {
        true => say(&format!("{}\n", as_json(args, &members, &rows))),
        false => say(&as_text(&members, &rows)),
    }
}

async fn rows(client: &Remote, stream: &str, status: GroupStatus) -> Result<Vec<Row>, Error> {
    let shards = client.describe_stream(stream).await?.shards;
    let mut rows = Vec::new();
    for some in status.shards.chunks(ASKED_TOGETHER) {
        let asked = some.iter().map(async |seen| {
            // A shard that cannot be asked (damaged, about to go) is shown all the same.
            let bounds = match shards.shard(seen.shard) {
                Some(shard) => client.position(shard, Start::Latest).await.ok(),
                None => None,
            };
            let behind = bounds.map(|bounds| behind(seen.checkpoint, &bounds));
            Row { shard: seen.shard, checkpoint: seen.checkpoint, owner: seen.owner.clone(), behind }
        });
        rows.extend(join_all(asked).await);
    }
    Ok(rows)
}

/// How many records that are kept an application has not processed.
fn behind(checkpoint: Checkpoint, bounds: &PositionAnswer) -> u64 {
    let end = bounds.end_offset.0;
    match checkpoint {
        Checkpoint::Horizon => end.saturating_sub(bounds.horizon.0),
        Checkpoint::At(offset) => end.saturating_sub(offset.0.max(bounds.horizon.0)),
        Checkpoint::Latest | Checkpoint::Ended => 0,
    }
}

fn as_json(args: &GroupArgs, members: &[GroupMember], rows: &[Row]) -> Value {
    let member = |member: &GroupMember| json!({"name": member.name, "shards": member.shards, "remaining_ms": member.remaining.as_millis() as u64});
    let row = |row: &Row| {
        json!({
            "shard": row.shard.0,
            "shard_id": row.shard.to_string(),
            "checkpoint": match row.checkpoint {
                Checkpoint::Horizon => json!("horizon"),
                Checkpoint::Latest => json!("latest"),
                Checkpoint::At(offset) => json!(offset.0),
                Checkpoint::Ended => json!("ended"),
            },
            "behind": row.behind,
            "member": row.owner,
        })
    };
    json!({
        "group": args.group,
        "stream": args.stream,
        "members": members.iter().map(member).collect::<Vec<_>>(),
        "shards": rows.iter().map(row).collect::<Vec<_>>(),
        "behind": rows.iter().filter_map(|row| row.behind).sum::<u64>(),
    })
}

fn as_text(members: &[GroupMember], rows: &[Row]) -> String {
    let mut text = match members.is_empty() {
        true => "No member is alive.\n".to_owned(),
        false => {
            let row = |member: &GroupMember| {
                [member.name.clone(), member.shards.to_string(), format!("{} s", seconds(member.remaining))]
            };
            table(["MEMBER", "SHARDS", "LEASE"], &members.iter().map(row).collect::<Vec<_>>())
        }
    };
    let row = |row: &Row| {
        [
            row.shard.to_string(),
            match row.checkpoint {
                Checkpoint::Horizon => "horizon".to_owned(),
                Checkpoint::Latest => "latest".to_owned(),
                Checkpoint::At(offset) => offset.to_string(),
                Checkpoint::Ended => "ended".to_owned(),
            },
            row.behind.map_or_else(|| "?".to_owned(), |behind| behind.to_string()),
            row.owner.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    text.push('\n');
    text + &table(["SHARD", "CHECKPOINT", "BEHIND", "MEMBER"], &rows.iter().map(row).collect::<Vec<_>>())
}

/// Whole seconds, a part of one counted as one.
fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1_000) as u64
}

fn reset(args: &GroupResetArgs) -> Result<(), Failure> {
    let place = match args.to {
        From::Latest => "the newest records".to_owned(),
        From::Horizon => "the oldest records".to_owned(),
        From::Ago(_) | From::At(_) => "that time".to_owned(),
        From::Offset(_) | From::Sequence(_) => {
            let message = "an application goes on at horizon, latest or a time: an offset is a place in one shard";
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    remote::with(&args.node, async |client| {
        let to = match args.to.resolve(client.reactor().wall()) {
            From::Latest => Start::Latest,
            From::At(time) => Start::AtTime(time),
            _ => Start::Horizon,
        };
        client.group_reset(&args.group, &args.stream, to).await.map_err(|error| match error.code() {
            Some(ErrorCode::LeaseHeld) => {
                let message = format_args!(
                    "a member of {} is alive; stop all of them first: `millstream group describe {} {}` shows them",
                    args.group, args.stream, args.group
                );
                Failure::new(Exit::Refused, message)
            }
            _ => failure(&error),
        })
    })?;
    say(&format!("{} goes on in {} from {place}\n", args.group, args.stream))
}
