//! Where readers start: GetShardIterator, and the starting position of a subscription.

use super::call::{Call, Reply, invalid, shard_number};
use super::failure::About;
use super::put::dry_run;
use crate::catalog::{Shard, Stream};
use crate::engine::shard::PositionError;
use crate::kinesis::error::{Code, Error};
use crate::kinesis::input::Input;
use crate::kinesis::iterator::Position;
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::shard::position::{Start, StartError};
use crate::shard::sequence::SequenceNumber;
use crate::types::{GroupId, Offset, ShardNumber, WallUs};

/// Where a client wants to start, as it says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'i> {
    /// `TRIM_HORIZON` and so on.
    pub(super) kind: &'i str,
    /// A sequence number.
    pub(super) number: Option<&'i str>,
    /// A time, in milliseconds.
    pub(super) time_ms: Option<i64>,
}

/// Where that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// At a place that the shard has to look up.
    Start(Start),
    /// With this record, or with the oldest one if it is gone.
    Record(Offset),
    /// Behind the last record of a closed shard.
    End,
}

impl<R: Runtime> Call<'_, R> {
    pub(super) async fn get_shard_iterator(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let text = input.str("ShardId").unwrap_or_default();
        let number = shard_number(text).ok_or_else(|| self.about(name).no_shard(text))?;
        let about = self.about(name).shard(number);
        let wish = Wish {
            kind: input.str("ShardIteratorType").unwrap_or_default(),
            number: input.str("StartingSequenceNumber"),
            time_ms: input.time_ms("Timestamp"),
        };
        let found = self.see_serving(name, |stream| {
            let shard = readable(stream, number).ok_or_else(|| about.nothing_to_read(number))?;
            Ok((stream.id, shard.group, self.wanted(shard, &wish, &about)?))
        });
        let (stream, group, wanted) = found.map_err(|error| match error.code {
            // What a reader misses is the shard, be it that its stream is not there either.
            Code::ResourceNotFoundException => about.nothing_to_read(number),
            _ => error,
        })?;
        if input.bool("DryRun").unwrap_or(false) {
            return Err(dry_run());
        }
        let offset = self.resolve(group, wanted, &wish, &about).await?;
        let position = Position { stream, shard: number, group, offset };
        let iterator = self.front.sealer.iterator(&position, self.now(), self.worker.rt.random());
        self.answer(|out| out.str("ShardIterator", &iterator))
    }

    /// What a wish means, without a look at the records.
    pub(super) fn wanted(&self, shard: &Shard, wish: &Wish<'_>, about: &About<'_>) -> Result<Wanted, Error> {
        let Wish { kind, number, time_ms } = *wish;
        match (kind, number) {
            ("TRIM_HORIZON", None) => Ok(Wanted::Start(Start::Horizon)),
            ("LATEST", None) => Ok(Wanted::Start(Start::Latest)),
            ("AT_TIMESTAMP", _) => self.at_time(time_ms),
            ("AT_SEQUENCE_NUMBER", Some(text)) => {
                let number = self.number_of(shard, text, about)?;
                Ok(if number.is_end() { Wanted::End } else { Wanted::Record(number.at()) })
            }
            ("AFTER_SEQUENCE_NUMBER", Some(text)) => {
                let number = self.number_of(shard, text, about)?;
                Ok(if number.is_end() { Wanted::End } else { Wanted::Record(number.after()) })
            }
            (kind, number) => Err(invalid(format!(
                "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
                 TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} and {} \
                 StartingSequenceNumber.",
                if number.is_some() { "also a" } else { "no" }
            ))),
        }
    }

    fn at_time(&self, time_ms: Option<i64>) -> Result<Wanted, Error> {
        let Some(ms) = time_ms else {
            return Err(invalid(
                "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp \
                 parameter.",
            ));
        };
        let now = self.now().millis();
        let wanted = u64::try_from(ms).unwrap_or(0);
        if wanted > now {
            return Err(invalid(format!(
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: \
                 {ms}, currentTimestampInMillis: {now}"
            )));
        }
        Ok(Wanted::Start(Start::AtTime(WallUs(wanted * 1_000))))
    }

    /// A sequence number that is one of the shard's.
    fn number_of(&self, shard: &Shard, text: &str, about: &About<'_>) -> Result<SequenceNumber, Error> {
        let foreign = |encoded: ShardNumber| {
            invalid(format!(
                "Invalid StartingSequenceNumber. It encodes {encoded}, while it was used in a call to a shard with {}",
                shard.number
            ))
        };
        let Ok(number) = text.parse::<SequenceNumber>() else {
            return Err(match old_shard(text) {
                Some(encoded) if encoded != shard.number => foreign(encoded),
                Some(_) => self.number_wrong(text, about, " because it did not come from this stream"),
                None => self.number_wrong(text, about, ""),
            });
        };
        if number.shard() != shard.number {
            return Err(foreign(number.shard()));
        }
        if !number.is_of(shard.created, shard.number) {
            return Err(self.number_wrong(text, about, " because it did not come from this stream"));
        }
        if number.is_end() && shard.is_open() {
            return Err(self.number_wrong(text, about, ""));
        }
        Ok(number)
    }

    fn number_wrong(&self, text: &str, about: &About<'_>, why: &str) -> Error {
        let About { account, stream, shard, .. } = about;
        let (shard, operation) = (shard.unwrap_or_default(), self.operation.name);
        invalid(format!(
            "StartingSequenceNumber {text} used in {operation} on shard {shard} in stream {stream} under account {account} is \
             invalid{why}."
        ))
    }

    /// The offset of the first record.
    pub(super) async fn resolve(
        &self,
        group: GroupId,
        wanted: Wanted,
        wish: &Wish<'_>,
        about: &About<'_>,
    ) -> Result<Offset, Error> {
        let start = match wanted {
            Wanted::Start(start) => start,
            Wanted::Record(offset) => Start::At(offset),
            Wanted::End => Start::Latest,
        };
        match self.patiently(async || self.worker.position(group, start).await).await {
            Ok((offset, _)) => Ok(offset),
            // What has expired is passed over.
            Err(Failure::Position(PositionError::Start(StartError::BeforeHorizon { horizon }))) => Ok(horizon),
            Err(Failure::Position(PositionError::Start(StartError::BeyondEnd { .. }))) => {
                Err(self.number_wrong(wish.number.unwrap_or_default(), about, ""))
            }
            Err(failure) => Err(self.error(&failure, about)),
        }
    }
}

/// The shard with this number, if it can be read.
pub(super) fn readable(stream: &Stream, number: ShardNumber) -> Option<&Shard> {
    stream.shard(number).filter(|shard| shard.is_readable())
}

/// The shard in a number of the oldest layout, which is what the real service takes a small number for.
fn old_shard(text: &str) -> Option<ShardNumber> {
    let number = text.parse::<u128>().ok().filter(|number| *number < 1 << 124)?;
    Some(ShardNumber((number & 0xffff) as u32))
}
