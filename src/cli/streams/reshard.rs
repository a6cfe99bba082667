//! `millstream stream split`, `merge`, `scale`, `move`: the shards of a stream, changed while they are in use.

use serde_json::{Value, json};

use crate::cli::args::{MergeArgs, MoveArgs, ScaleArgs, SplitArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{say, table};
use crate::cli::ranges::{middle, range, share, within};
use crate::cli::remote::{self, Remote, failure};
use crate::client::{ReshardAnswer, ScaleKind, ScaleStep, ScaleStreamAnswer, ShardDescription, StreamDescription};
use crate::types::ShardNumber;

/// `1 shard`, `2 shards`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A stream and one of its shards.
async fn shard_of(
    client: &Remote,
    stream: &str,
    number: ShardNumber,
) -> Result<(StreamDescription, ShardDescription), Failure> {
    let described = client.describe_stream(stream).await.map_err(|error| failure(&error))?;
    let shard = described.shards.shard(number).copied();
    let shard = shard.ok_or_else(|| Failure::new(Exit::NotFound, format_args!("{stream} has no {number}")))?;
    Ok((described, shard))
}

/// Refuses a shard that was split or merged before, and says what became of it.
fn check_open(stream: &StreamDescription, shard: &ShardDescription) -> Result<(), Failure> {
    if shard.closed.is_none() {
        return Ok(());
    }
    let children: Vec<_> = stream.shards.children(shard.number).map(|child| child.number.to_string()).collect();
    let children = if children.is_empty() { String::new() } else { format!("; its children: {}", children.join(", ")) };
    Err(Failure::new(Exit::Usage, format_args!("{} is closed{children}", shard.number)))
}

/// Runs `stream split`.
pub fn split(args: &SplitArgs) -> Result<(), Failure> {
    let (at, answer) = remote::with(&args.node, async |client| {
        let (stream, shard) = shard_of(&client, &args.name, args.shard).await?;
        check_open(&stream, &shard)?;
        let (start, end) = (shard.hash_start, shard.hash_end);
        let at = args.at.or_else(|| middle(start, end)).ok_or_else(|| {
            Failure::new(Exit::Usage, format_args!("{} has one hash key only: it cannot be split", shard.number))
        })?;
        if at <= start || end < at {
            let message = format_args!(
                "{} has the hash keys 0x{:032x} to 0x{:032x}: --at must be above the first and up to the last",
                shard.number, start.0, end.0
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        let answer = client.split_shard(&args.name, args.shard, at).await.map_err(|error| failure(&error))?;
        Ok((at, answer))
    })?;
    match args.output.json {
        true => say_json(&[args.shard], &answer),
        false => say(&format!("split {} at 0x{:032x}\n\n{}", args.shard, at.0, children(&answer))),
    }
}

/// Runs `stream merge`.
pub fn merge(args: &MergeArgs) -> Result<(), Failure> {
    if args.shard == args.adjacent {
        return Err(Failure::new(Exit::Usage, format_args!("{} is named twice: name it and a neighbour", args.shard)));
    }
    let answer = remote::with(&args.node, async |client| {
        for number in [args.shard, args.adjacent] {
            let (stream, shard) = shard_of(&client, &args.name, number).await?;
            check_open(&stream, &shard)?;
        }
        client.merge_shards(&args.name, args.shard, args.adjacent).await.map_err(|error| failure(&error))
    })?;
    match args.output.json {
        true => say_json(&[args.shard, args.adjacent], &answer),
        false => say(&format!("merged {} and {}\n\n{}", args.shard, args.adjacent, children(&answer))),
    }
}

fn children(answer: &ReshardAnswer) -> String {
    let row = |child: &ShardDescription| {
        [
            child.number.to_string(),
            child.worker.to_string(),
            share(child.hash_start, child.hash_end),
            range(child.hash_start, child.hash_end),
        ]
    };
    let rows: Vec<_> = answer.children.iter().map(row).collect();
    table(["CHILD", "WORKER", "SHARE", "HASH KEYS"], &rows)
}

fn say_json(parents: &[ShardNumber], answer: &ReshardAnswer) -> Result<(), Failure> {
    let child = |child: &ShardDescription| {
        json!({
            "number": child.number.0,
            "shard_id": child.number.to_string(),
            "worker": child.worker.0,
            "hash_start": child.hash_start.to_string(),
            "hash_end": child.hash_end.to_string(),
        })
    };
    let line = json!({
        "closed": parents.iter().map(|parent| parent.0).collect::<Vec<_>>(),
        "children": answer.children.iter().map(child).collect::<Vec<_>>(),
    });
    say(&format!("{line}\n"))
}

/// Runs `stream scale`: says what would be done, or does it and says what was done.
pub fn scale(args: &ScaleArgs) -> Result<(), Failure> {
    let answer = remote::with(&args.node, async |client| {
        let answer = match args.plan {
            true => client.plan_scaling(&args.name, args.target).await,
            false => client.scale_stream(&args.name, args.target).await,
        };
        answer.map_err(|error| failure(&error))
    })?;
    match args.output.json {
        true => say(&format!("{}\n", plan_json(args, &answer))),
        false => say(&plan_text(args, &answer)),
    }
}

/// What a plan costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    splits: usize,
    merges: usize,
    rounds: usize,
}

impl Cost {
    fn of(steps: &[ScaleStep]) -> Self {
        let splits = steps.iter().filter(|step| step.kind == ScaleKind::Split).count();
        let rounds = steps.iter().map(|step| usize::from(step.round) + 1).max().unwrap_or(0);
        Self { splits, merges: steps.len() - splits, rounds }
    }

    const fn closed(self) -> usize {
        self.splits + 2 * self.merges
    }

    const fn created(self) -> usize {
        2 * self.splits + self.merges
    }
}

fn plan_text(args: &ScaleArgs, answer: &ScaleStreamAnswer) -> String {
    let (name, target, cost) = (&args.name, args.target as usize, Cost::of(&answer.steps));
    if answer.steps.is_empty() {
        return format!("{name} has {}, all even: there is nothing to do\n", count(target, "shard"));
    }
    let (from, rounds) = (answer.open_shards, count(cost.rounds, "round"));
    let work = match (cost.splits, cost.merges) {
        (splits, 0) => count(splits, "split"),
        (0, merges) => count(merges, "merge"),
        (splits, merges) => format!("{} and {}", count(splits, "split"), count(merges, "merge")),
    };
    let (closed, created) = (count(cost.closed(), "shard"), cost.created());
    if !args.plan {
        let done = format!("scaled {name} from {from} to {}", count(target, "shard"));
        return format!("{done}: {work} in {rounds}, {closed} closed, {created} created\n");
    }
    let row = |step: &ScaleStep| {
        [
            (step.round + 1).to_string(),
            match step.kind {
                ScaleKind::Split => "split",
                ScaleKind::Merge => "merge",
            }
            .to_owned(),
            range(step.start, step.end),
            within(step.start, step.at, step.end),
            share(step.start, step.end),
        ]
    };
    let rows: Vec<_> = answer.steps.iter().map(row).collect();
    let table = table(["ROUND", "STEP", "HASH KEYS", "AT", "SHARE"], &rows);
    format!(
        "{name}: from {from} to {}: {work} in {rounds}\n\n{table}\n\
         Costs: {closed} closed, which stay readable until their retention has passed, {created} created.\n\
         The steps of a round are taken together; puts to a shard wait for milliseconds at its step.\n",
        count(target, "shard")
    )
}

fn plan_json(args: &ScaleArgs, answer: &ScaleStreamAnswer) -> Value {
    let cost = Cost::of(&answer.steps);
    let step = |step: &ScaleStep| {
        json!({
            "round": step.round + 1,
            "step": match step.kind {
                ScaleKind::Split => "split",
                ScaleKind::Merge => "merge",
            },
            "hash_start": step.start.to_string(),
            "at": step.at.to_string(),
            "hash_end": step.end.to_string(),
        })
    };
    json!({
        "name": args.name,
        "done": !args.plan,
        "from": answer.open_shards,
        "to": args.target,
        "rounds": cost.rounds,
        "splits": cost.splits,
        "merges": cost.merges,
        "shards_closed": cost.closed(),
        "shards_created": cost.created(),
        "steps": answer.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

/// Runs `stream move`.
pub fn migrate(args: &MoveArgs) -> Result<(), Failure> {
    let from = remote::with(&args.node, async |client| {
        let (_, shard) = shard_of(&client, &args.name, args.shard).await?;
        client.move_shard(&args.name, args.shard, args.to).await.map_err(|error| failure(&error))?;
        Ok(shard.worker)
    })?;
    if args.output.json {
        let line = json!({"shard": args.shard.0, "from": from.0, "to": args.to.0});
        return say(&format!("{line}\n"));
    }
    match from == args.to {
        true => say(&format!("{} is at worker {} already\n", args.shard, args.to)),
        false => say(&format!("moved {} from worker {from} to worker {}\n", args.shard, args.to)),
    }
}
