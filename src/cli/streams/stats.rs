//! `millstream stream stats`: the counters of a stream, or of each of its shards.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::args::StatsArgs;
use crate::cli::exit::Failure;
use crate::cli::output::{say, size, table};
use crate::cli::remote::{self, Remote, failure};
use crate::client::{Error, ShardState};
use crate::protocol::messages::Stats;
use crate::runtime::local::join_all;
use crate::types::ShardNumber;

/// Shards that are asked at the same time.
const ASKED_TOGETHER: usize = 256;

/// Counters by name. Nodes may have more than are shown, and others.
type Counters = BTreeMap<String, u64>;

/// Runs it.
pub fn run(args: &StatsArgs) -> Result<(), Failure> {
    match args.shards {
        false => {
            let counters = remote::with(&args.node, async |client| {
                client.stats(Stats::Stream(&args.name)).await.map_err(|error| failure(&error))
            })?;
            whole(args, &counters.into_iter().collect())
        }
        true => {
            let shards = remote::with(&args.node, async |client| {
                by_shard(&client, &args.name).await.map_err(|error| failure(&error))
            })?;
            each(args, &shards)
        }
    }
}

/// The counters of every shard that can be asked.
async fn by_shard(client: &Remote, stream: &str) -> Result<Vec<(ShardNumber, Counters)>, Error> {
    let described = client.describe_stream(stream).await?;
    let listed: Vec<_> =
        described.shards.all().iter().filter(|shard| shard.state != ShardState::Pending).copied().collect();
    let mut shards = Vec::new();
    for some in listed.chunks(ASKED_TOGETHER) {
        let asked = some.iter().map(async |shard| {
            // One that went meanwhile has no counters any more.
            let counters = client.stats(Stats::Shard(shard.group)).await.ok()?;
            Some((shard.number, counters.into_iter().collect()))
        });
        shards.extend(join_all(asked).await.into_iter().flatten());
    }
    Ok(shards)
}

fn whole(args: &StatsArgs, counters: &Counters) -> Result<(), Failure> {
    if args.output.json {
        return say(&format!("{}\n", json!({"name": args.name, "stats": counters})));
    }
    let shown = |(name, value): (&String, &u64)| {
        let text = match name.as_str() {
            name if name.contains("bytes") && *value >= 1 << 10 => format!("{value} ({})", size(*value)),
            _ => value.to_string(),
        };
        format!("{name:<28}  {text}\n")
    };
    say(&counters.iter().map(shown).collect::<String>())
}

fn each(args: &StatsArgs, shards: &[(ShardNumber, Counters)]) -> Result<(), Failure> {
    if args.output.json {
        let line = |(shard, counters): &(ShardNumber, Counters)| {
            let line = json!({"shard": shard.0, "shard_id": shard.to_string(), "stats": counters});
            format!("{line}\n")
        };
        return say(&shards.iter().map(line).collect::<String>());
    }
    let row = |(shard, counters): &(ShardNumber, Counters)| {
        let of = |name: &str| counters.get(name).copied().unwrap_or(0);
        let throttled = of("put_records_throttled_total") + of("reads_throttled_total");
        [
            shard.to_string(),
            of("records").to_string(),
            size(of("put_bytes_total")),
            size(of("read_bytes_total")),
            throttled.to_string(),
            latency(of("put_latency_us_p99")),
            latency(of("read_latency_us_p99")),
            latency(of("iterator_age_ms_max").saturating_mul(1_000)),
        ]
    };
    let rows: Vec<_> = shards.iter().map(row).collect();
    let headings = ["SHARD", "KEPT", "IN", "OUT", "THROTTLED", "PUT P99", "READ P99", "AGE"];
    say(&table(headings, &rows))
}

/// A length of time in three digits or so.
fn latency(us: u64) -> String {
    match us {
        0 => "-".to_owned(),
        1..10_000 => format!("{us}us"),
        10_000..10_000_000 => format!("{}ms", us / 1_000),
        10_000_000..7_200_000_000 => format!("{}s", us / 1_000_000),
        _ => format!("{}h", us / 3_600_000_000),
    }
}
