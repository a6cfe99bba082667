//! Streams: made, described, listed, deleted.

use std::collections::BTreeMap;

use super::call::{Call, Reply, invalid, shard_number};
use super::shards::write_shard;
use crate::catalog::{Distribution, Mode, SettingsChange, Status, Stream, Tags};
use crate::kinesis::error::Error;
use crate::kinesis::input::Input;
use crate::kinesis::output::Fields;
use crate::kinesis::token::Page;
use crate::runtime::Runtime;
use crate::server::mail::AdminOp;
use crate::types::{ShardNumber, WallUs};

/// Shards on one page of DescribeStream, whatever was asked for.
const DESCRIBE_SHARDS_MAX: usize = 100;

/// Streams on one page of ListStreams, whatever was asked for.
const LIST_STREAMS_MAX: usize = 100;

/// A number that the model has checked to be small and not negative.
pub(super) fn count(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

/// A number for an answer.
pub(super) fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The tags in a request.
pub(super) fn tags(input: &Input<'_>) -> Result<Tags, Error> {
    let tags: Tags = input.map("Tags").into_iter().flatten().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    match tags.keys().find(|key| key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))) {
        Some(key) => Err(invalid(format!("Tag key {key} is invalid: the prefix aws: is reserved."))),
        None => Ok(tags),
    }
}

/// The mode in a request.
pub(super) fn mode(input: &Input<'_>) -> Option<Mode> {
    let name = input.structure("StreamModeDetails")?.str("StreamMode")?;
    Some(if name == "ON_DEMAND" { Mode::ON_DEMAND } else { Mode::Provisioned })
}

/// The strategy in a request.
pub(super) fn distribution(input: &Input<'_>) -> Option<Distribution> {
    let name = input.str("RecordDistributionStrategy")?;
    Some(if name == "AUTO" { Distribution::Auto } else { Distribution::PartitionKey })
}

/// Those of the modes that differ in more than their bounds: a stream on demand keeps its own.
pub(super) fn switched(mode: Mode, from: Mode) -> Option<Mode> {
    (mode.is_on_demand() != from.is_on_demand()).then_some(mode)
}

impl<R: Runtime> Call<'_, R> {
    pub(super) async fn create_stream(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = input.str("StreamName").unwrap_or_default();
        self.allow(name)?;
        let about = self.about(name);
        let wanted = mode(input).unwrap_or_default();
        let shards = match (wanted, input.int("ShardCount")) {
            (Mode::Provisioned, None) => {
                return Err(invalid("ShardCount must be specified when StreamMode is PROVISIONED."));
            }
            (Mode::Provisioned, Some(count)) => u32::try_from(count).unwrap_or(u32::MAX),
            // As many as the node sees fit.
            (Mode::OnDemand(_), _) => 0,
        };
        if self.front.passing.deleted(name, self.now()).is_some() {
            return Err(about.exists());
        }
        let warm = input.int("WarmThroughputMiBps").map(|mib| u32::try_from(mib).unwrap_or(u32::MAX));
        if warm.is_some_and(|mib| mib > 0) {
            self.check_commitment().await?;
        }
        let settings = SettingsChange {
            mode: switched(wanted, self.worker.options.stream_defaults.mode),
            record_bytes_max: input.int("MaxRecordSizeInKiB").map(kib),
            warm_throughput_mib: warm,
            distribution: distribution(input),
            ..SettingsChange::default()
        };
        let op = AdminOp::Create { name: name.to_owned(), shards, settings, tags: tags(input)? };
        self.admin(op, &about).await?;
        Ok(Reply::Void)
    }

    pub(super) async fn delete_stream(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let about = self.about(name);
        match self.see(name, |_, status| Ok(status))? {
            Status::Creating => return Err(about.not_active(Status::Creating)),
            Status::Deleting => return Ok(Reply::Void),
            Status::Active | Status::Updating => {}
        }
        let enforce = input.bool("EnforceConsumerDeletion").unwrap_or(false);
        self.admin(AdminOp::Delete { name: name.to_owned(), enforce }, &about).await?;
        Ok(Reply::Void)
    }

    pub(super) fn describe_stream(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let limit = input.int("Limit").map_or(DESCRIBE_SHARDS_MAX, count).min(DESCRIBE_SHARDS_MAX);
        let after = input.str("ExclusiveStartShardId");
        let from = match after.map(|text| (text, shard_number(text))) {
            None => ShardNumber(0),
            Some((_, Some(number))) => ShardNumber(number.0 + 1),
            Some((text, None)) => return Err(self.about(name).no_shard(text)),
        };
        self.see(name, |stream, status| {
            // They are not there yet.
            let shown = if status == Status::Creating { 0 } else { limit };
            let mut shards: Vec<_> =
                stream.readable_shards().filter(|shard| shard.number >= from).take(shown + 1).collect();
            let more = status != Status::Creating && shards.len() > shown;
            shards.truncate(shown);
            self.answer(|answer| {
                answer.structure("StreamDescription", |out| {
                    self.write_head(out, stream, status);
                    out.structures("Shards", &shards, |out, shard| write_shard(out, shard));
                    out.bool("HasMoreShards", more);
                    self.write_settings(out, stream);
                });
            })
        })
    }

    pub(super) fn describe_summary(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        self.see(name, |stream, status| {
            self.answer(|answer| {
                answer.structure("StreamDescriptionSummary", |out| {
                    self.write_head(out, stream, status);
                    self.write_settings(out, stream);
                    let open = if status == Status::Creating { 0 } else { stream.open_shards().len() };
                    out.int("OpenShardCount", int(open));
                    out.int("ConsumerCount", int(stream.consumers().len()));
                    write_warm_throughput(out, stream);
                    out.int("MaxRecordSizeInKiB", i64::from(stream.settings.record_bytes_max / 1_024));
                    out.int("ChannelCount", 0);
                    out.str("RecordDistributionStrategy", stream.settings.distribution.name());
                    out.int("QueueCount", 0);
                });
            })
        })
    }

    /// Who it is. Never `StreamId`: with one, SDKs talk to hosts of AWS, whatever endpoint they were given.
    fn write_head(&self, out: &mut Fields<'_>, stream: &Stream, status: Status) {
        out.str("StreamName", &stream.name);
        out.display("StreamARN", self.arn(&stream.name));
        out.str("StreamStatus", status.name());
        write_mode(out, stream);
    }

    fn write_settings(&self, out: &mut Fields<'_>, stream: &Stream) {
        let metadata = stream.metadata();
        out.int("RetentionPeriodHours", stream.settings.retention_hours.into());
        out.time("StreamCreationTimestamp", stream.created);
        out.structures("EnhancedMonitoring", [metadata.monitoring], |out, metrics| {
            out.strings("ShardLevelMetrics", metrics.names());
        });
        match &metadata.encryption {
            None => out.str("EncryptionType", "NONE"),
            Some(encryption) => {
                out.str("EncryptionType", "KMS");
                out.str("KeyId", &encryption.key_id);
            }
        }
    }

    pub(super) fn list_streams(&self, input: &Input<'_>) -> Result<Reply, Error> {
        self.allow_all()?;
        let now = self.now();
        let limit = input.int("Limit").map_or(LIST_STREAMS_MAX, count).min(LIST_STREAMS_MAX);
        let after = match input.str("NextToken") {
            None => input.str("ExclusiveStartStreamName").map(ToOwned::to_owned),
            Some(token) => match self.front.sealer.open_page(token, now)? {
                Page::Streams { after } => Some(after),
                _ => return Err(invalid("Invalid NextToken.")),
            },
        };
        let catalog = self.worker.catalog.borrow();
        let passing = &self.front.passing;
        let mut page: BTreeMap<&str, (&Stream, Status)> = catalog
            .streams_after(after.as_deref())
            .take(limit + 1)
            .map(|stream| (stream.name.as_str(), (stream, passing.status(stream, now))))
            .collect();
        let deleted = passing.all_deleted(now);
        for gone in deleted.iter().filter(|gone| after.as_ref().is_none_or(|after| gone.name > *after)) {
            page.entry(gone.name.as_str()).or_insert((gone, Status::Deleting));
        }
        let more = page.len() > limit;
        let shown: Vec<_> = page.into_values().take(limit).collect();
        self.answer(|out| {
            out.strings("StreamNames", shown.iter().map(|(stream, _)| &stream.name));
            out.bool("HasMoreStreams", more);
            if let Some((last, _)) = shown.last().filter(|_| more) {
                let page = Page::Streams { after: last.name.clone() };
                out.str("NextToken", &self.front.sealer.page(&page, now));
            }
            out.structures("StreamSummaries", &shown, |out, (stream, status)| {
                self.write_head(out, stream, *status);
                out.time("StreamCreationTimestamp", stream.created);
            });
        })
    }
}

/// A size in KiB, in bytes.
pub(super) fn kib(kib: i64) -> u32 {
    u32::try_from(kib.saturating_mul(1_024)).unwrap_or(u32::MAX)
}

fn write_mode(out: &mut Fields<'_>, stream: &Stream) {
    out.structure("StreamModeDetails", |out| out.str("StreamMode", stream.settings.mode.name()));
}

/// What a stream on demand is ready for. Here it is so at once.
pub(super) fn write_warm_throughput(out: &mut Fields<'_>, stream: &Stream) {
    let mib = i64::from(stream.settings.warm_throughput_mib);
    if stream.settings.mode.is_on_demand() {
        out.structure("WarmThroughput", |out| {
            out.int("TargetMiBps", mib);
            out.int("CurrentMiBps", mib);
        });
    }
}

/// Whether a time that a client gave is that of the creation of a stream: to the second, since some clients keep no more.
pub(super) fn is_created_at(created: WallUs, given_ms: i64) -> bool {
    i64::try_from(created.second()).is_ok_and(|second| second == given_ms.div_euclid(1_000))
}
