//! Counters, of one worker and of all together.

use super::{Home, Worker};
use crate::engine::shard::Shard;
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::server::mail::{Answer, Op, Scope};
use crate::shard::latency::Latency;
use crate::types::{ShardNumber, StreamId, Traffic};

/// How the values of several workers become one.
fn joined(name: &str, one: u64, other: u64) -> u64 {
    // A latency or an age of all is that of the worst; everything else is counted.
    if name.contains("_us_p") || name.ends_with("_ms_max") { one.max(other) } else { one + other }
}

impl<R: Runtime> Worker<R> {
    /// Counters, of all workers together.
    pub async fn stats(&self, scope: Scope) -> Result<Vec<(&'static str, u64)>, Failure> {
        let mut sum: Vec<(&'static str, u64)> = match scope {
            Scope::Shard(group) => match self.home(group)? {
                Home::Here(_) => return self.stats_here(scope),
                Home::There(link) => match link.call(Op::Stats(scope)).await? {
                    Answer::Stats(stats) => return stats,
                    _ => unreachable!("stats are answered as stats"),
                },
            },
            Scope::Worker | Scope::Stream(_) => self.stats_here(scope)?,
        };
        for link in self.links.iter().flatten() {
            let Answer::Stats(stats) = link.call(Op::Stats(scope)).await? else {
                unreachable!("stats are answered as stats");
            };
            for ((name, total), (_, value)) in sum.iter_mut().zip(stats?) {
                *total = joined(name, *total, value);
            }
        }
        if scope == Scope::Worker {
            let catalog = self.catalog.borrow();
            sum.push(("uptime_seconds", self.rt.now().since(self.started) / 1_000_000));
            sum.push(("workers", u64::from(self.count)));
            sum.push(("streams", catalog.streams().len() as u64));
            sum.push(("catalogue_version", catalog.version()));
        }
        Ok(sum)
    }

    /// Counters of this worker's shards. Always the same names in the same order.
    pub(super) fn stats_here(&self, scope: Scope) -> Result<Vec<(&'static str, u64)>, Failure> {
        let shards: Vec<_> = match scope {
            Scope::Worker => self.shards.all(),
            Scope::Stream(stream) => self.shards.all().into_iter().filter(|shard| shard.id.stream == stream).collect(),
            Scope::Shard(group) => vec![self.shards.get(group).ok_or_else(|| self.not_here(group))?],
        };
        let sum = |of: &dyn Fn(&Shard<R>) -> u64| shards.iter().map(|shard| of(shard)).sum::<u64>();
        let (mut puts, mut reads) = (Latency::default(), Latency::default());
        for shard in &shards {
            puts.merge(&shard.put_latency());
            reads.merge(&shard.counters.read_latency.borrow());
        }
        let age_ms = shards.iter().map(|shard| shard.counters.iterator_age_ms.get()).max().unwrap_or(0);
        let mut stats = vec![
            ("shards", shards.len() as u64),
            ("shards_refusing_puts", sum(&|shard| shard.log().refusal().is_some().into())),
            ("records", sum(&|shard| shard.log().marks().committed().offset.0 - shard.log().first_offset().0)),
            ("disk_bytes", sum(&|shard| shard.log().disk_bytes())),
            ("put_records_total", sum(&|shard| shard.counters.put_records.get())),
            ("put_bytes_total", sum(&|shard| shard.counters.put_bytes.get())),
            ("puts_refused_total", sum(&|shard| shard.counters.put_refused.get())),
            ("put_records_throttled_total", sum(&|shard| shard.counters.put_throttled.get())),
            ("put_latency_us_p50", puts.quantile(0.5)),
            ("put_latency_us_p99", puts.quantile(0.99)),
            ("reads_total", sum(&|shard| shard.counters.reads.get())),
            ("read_bytes_total", sum(&|shard| shard.counters.read_bytes.get())),
            ("reads_throttled_total", sum(&|shard| shard.counters.reads_throttled.get())),
            ("read_latency_us_p50", reads.quantile(0.5)),
            ("read_latency_us_p99", reads.quantile(0.99)),
            ("iterator_age_ms_max", age_ms),
        ];
        if scope == Scope::Worker {
            stats.push(("connections", self.connections.get() as u64));
            stats.push(("tail_bytes", self.shards.env().tail_bytes() as u64));
            stats.push(("logs_being_freed", self.shards.freeing() as u64));
        }
        Ok(stats)
    }

    /// What this worker's open shards of a stream take in, if anybody keeps count.
    pub fn traffic(&self, stream: StreamId) -> Vec<(ShardNumber, Traffic)> {
        let shards = self.own_of(stream).into_iter().filter_map(|group| self.shards.get(group));
        shards.filter_map(|shard| shard.traffic().map(|traffic| (shard.id.number, traffic))).collect()
    }
}
