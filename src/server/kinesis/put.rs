//! PutRecord and PutRecords: records go from the body of the request straight into the shares of their shards.

use std::borrow::Cow;

use super::call::{Call, Reply, invalid};
use super::failure::About;
use super::notes::is_encrypted;
use super::reshard::hash_key;
use crate::catalog::{Distribution, Stream};
use crate::kinesis::error::{Code, Error};
use crate::kinesis::input::Input;
use crate::kinesis::put::{self, Scan, Sink, Unusual};
use crate::kinesis::records::{PutResult, Stored, write_put_record, write_put_records};
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::server::router::{Fate, Routed, Router, Taker};
use crate::shard::sequence::SequenceNumber;
use crate::types::{HashKey, ShardNumber, WallUs};

/// Data and keys of one PutRecords at most, as in Kinesis.
const PUT_RECORDS_BYTES_MAX: usize = 10 << 20;

/// What a record failed with that nobody can name better, as PutRecords words it.
const INTERNAL_FAILURE: (&str, &str) = ("InternalFailure", "Internal service failure.");

/// What a request says besides its records.
struct Request<'b> {
    stream_name: Option<&'b str>,
    stream_arn: Option<&'b str>,
    sequence_for_ordering: Option<&'b str>,
    dry_run: bool,
    /// Bytes of data and keys.
    bytes: usize,
    /// Which record has no key, counted from 0.
    keyless: Option<usize>,
}

/// Why records cannot be routed.
enum Refusal {
    /// They have to be looked at once more, in the general way.
    Unusual,
    /// They are wrong.
    Error(Error),
}

impl From<Unusual> for Refusal {
    fn from(_: Unusual) -> Self {
        Self::Unusual
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Records that are routed.
struct Ready {
    routed: Routed,
    stream: String,
    is_encrypted: bool,
}

/// Feeds the router, and sees to it that no record is larger than the stream allows.
struct Feed<'a, R: Runtime> {
    router: Router<'a, R>,
    /// Whether records find their shards by their keys.
    is_by_key: bool,
    /// The hash keys of the records to come, last one first, if they were computed side by side.
    hashes: Vec<HashKey>,
    bytes_max: usize,
    /// The first one that is.
    too_large: Option<usize>,
}

impl<R: Runtime> Sink for Feed<'_, R> {
    fn record(&mut self, key: &str, explicit_hash: Option<u128>, data_len: usize) -> &mut Vec<u8> {
        let bytes = key.len() + data_len;
        if bytes > self.bytes_max && self.too_large.is_none() {
            self.too_large = Some(bytes);
        }
        let hash = self.hashes.pop().or(explicit_hash.map(HashKey));
        self.router.record(key, hash, data_len)
    }
}

/// What became of a record of PutRecords.
#[derive(Clone, Copy)]
enum Outcome {
    Stored(Stored),
    Throttled(ShardNumber),
    Failed,
}

fn stored(taker: Taker, offset: crate::types::Offset, arrival: WallUs) -> Stored {
    Stored { shard: taker.number, created: taker.created, offset, arrival }
}

impl<R: Runtime> Call<'_, R> {
    pub(super) async fn put_record(&self, body: &[u8]) -> Result<Reply, Error> {
        let Ready { routed, stream, is_encrypted } = self.ready(put::Call::Record, body)?;
        let about = self.about(&stream);
        let mut result = None;
        let taken = routed.send(self.worker).await;
        let note = |_, taker: Taker, fate: Fate<'_>| {
            result = Some(match fate {
                Fate::Stored { offset, arrival } => Ok(stored(taker, offset, arrival)),
                Fate::Throttled => Err(about.shard(taker.number).rate_exceeded()),
                Fate::Failed(failure) => Err(self.error(failure, &about.shard(taker.number))),
            });
        };
        taken.done(self.worker, note).await;
        let stored = result.expect("a record has a fate")?;
        let mut out = Vec::with_capacity(192);
        write_put_record(&mut out, self.encoding, is_encrypted, &stored);
        Ok(Reply::Body(out))
    }

    pub(super) async fn put_records(&self, body: &[u8]) -> Result<Reply, Error> {
        let Ready { routed, stream, is_encrypted } = self.ready(put::Call::Records, body)?;
        let taken = routed.send(self.worker).await;
        let mut outcomes = vec![Outcome::Failed; taken.count as usize];
        let note = |place: u32, taker: Taker, fate: Fate<'_>| {
            outcomes[place as usize] = match fate {
                Fate::Stored { offset, arrival } => Outcome::Stored(stored(taker, offset, arrival)),
                // A disk that does not keep up: clients are to slow down, as for a rate.
                Fate::Throttled | Fate::Failed(Failure::Overloaded) => Outcome::Throttled(taker.number),
                Fate::Failed(_) => Outcome::Failed,
            };
        };
        taken.done(self.worker, note).await;
        let about = self.about(&stream);
        let results = outcomes.iter().map(|outcome| match *outcome {
            Outcome::Stored(stored) => PutResult::Stored(stored),
            Outcome::Throttled(shard) => PutResult::Failed {
                code: Code::ProvisionedThroughputExceededException.name(),
                message: Cow::Owned(about.shard(shard).rate_exceeded_text()),
            },
            Outcome::Failed => {
                let (code, message) = INTERNAL_FAILURE;
                PutResult::Failed { code, message: Cow::Borrowed(message) }
            }
        });
        let mut out = Vec::new();
        write_put_records(&mut out, self.encoding, is_encrypted, results);
        Ok(Reply::Body(out))
    }

    /// Decodes, checks and routes the records of a request: the fast way if it can be gone.
    fn ready(&self, which: put::Call, body: &[u8]) -> Result<Ready, Error> {
        let fast = self.front.scratch(|scratch| {
            let scan = put::scan(which, self.encoding, body, scratch)?;
            let feed_all = |feed: &mut Feed<'_, R>| {
                if feed.is_by_key {
                    scan.hash_keys(&mut feed.hashes);
                    feed.hashes.reverse();
                }
                Ok(scan.feed(feed)?)
            };
            match self.route(&scanned(&scan), feed_all) {
                Err(Refusal::Unusual) => None,
                Err(Refusal::Error(error)) => Some(Err(error)),
                Ok(ready) => Some(Ok(ready)),
            }
        });
        if let Some(result) = fast {
            return result;
        }
        let input = Input::decode(self.operation, self.encoding, body)?;
        let records: Vec<&Input<'_>> = match which {
            put::Call::Record => vec![&input],
            put::Call::Records => input.structures("Records").into_iter().flatten().collect(),
        };
        let routed = self.route(&decoded(&input, which, &records), |feed| {
            for record in &records {
                let hash = record.str("ExplicitHashKey").map(explicit).transpose()?;
                let (key, data) =
                    (record.str("PartitionKey").unwrap_or_default(), record.blob("Data").unwrap_or_default());
                feed.record(key, hash, data.len()).extend_from_slice(data);
            }
            Ok(())
        });
        routed.map_err(|refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::Unusual => unreachable!("the general way takes everything"),
        })
    }

    fn route(
        &self,
        request: &Request<'_>,
        feed_all: impl FnOnce(&mut Feed<'_, R>) -> Result<(), Refusal>,
    ) -> Result<Ready, Refusal> {
        let name = self.name_of(request.stream_name, request.stream_arn)?;
        let mut routed = Err(Refusal::Unusual);
        self.see_serving(name, |stream| {
            routed = self.route_to(stream, request, feed_all);
            Ok(())
        })?;
        routed
    }

    fn route_to(
        &self,
        stream: &Stream,
        request: &Request<'_>,
        feed_all: impl FnOnce(&mut Feed<'_, R>) -> Result<(), Refusal>,
    ) -> Result<Ready, Refusal> {
        let about = self.about(&stream.name);
        if let Some(place) = request.keyless.filter(|_| stream.settings.distribution != Distribution::Auto) {
            // Which one it is, the fast way does not know.
            return Err(if place == usize::MAX {
                Refusal::Unusual
            } else {
                keyless(self.operation.name, place).into()
            });
        }
        if request.bytes > PUT_RECORDS_BYTES_MAX && self.operation.name == "PutRecords" {
            return Err(invalid("Records size exceeds 10 MB limit").into());
        }
        if let Some(text) = request.sequence_for_ordering {
            check_ordering(text, self.now(), &about)?;
        }
        let router = Router::new(self.worker, stream, request.bytes);
        let mut feed = Feed {
            router,
            is_by_key: stream.settings.distribution == Distribution::PartitionKey,
            hashes: Vec::new(),
            bytes_max: stream.settings.record_bytes_max as usize,
            too_large: None,
        };
        feed_all(&mut feed)?;
        if let Some(bytes) = feed.too_large {
            let max = feed.bytes_max;
            let About { account, stream, .. } = about;
            let text = format!(
                "Record of {bytes} bytes exceeds the maximum record size of {max} bytes of stream {stream} under account \
                 {account}."
            );
            return Err(invalid(text).into());
        }
        if request.dry_run {
            return Err(dry_run().into());
        }
        Ok(Ready { routed: feed.router.end(), stream: stream.name.clone(), is_encrypted: is_encrypted(stream) })
    }
}

/// The request was fine, and was not to be carried out.
pub(super) fn dry_run() -> Error {
    Error::new(Code::DryRunOperationException, "Request would have succeeded, but DryRun flag is set.")
}

fn scanned<'b>(scan: &Scan<'b>) -> Request<'b> {
    let head = scan.head();
    Request {
        stream_name: head.stream_name,
        stream_arn: head.stream_arn,
        sequence_for_ordering: head.sequence_for_ordering,
        dry_run: head.dry_run,
        bytes: head.bytes,
        keyless: head.is_keyless.then_some(usize::MAX),
    }
}

fn decoded<'b>(input: &'b Input<'_>, which: put::Call, records: &[&'b Input<'_>]) -> Request<'b> {
    let size = |record: &&Input<'_>| {
        record.str("PartitionKey").map_or(0, str::len) + record.blob("Data").map_or(0, <[u8]>::len)
    };
    Request {
        stream_name: input.str("StreamName"),
        stream_arn: input.str("StreamARN"),
        sequence_for_ordering: match which {
            put::Call::Record => input.str("SequenceNumberForOrdering"),
            put::Call::Records => None,
        },
        dry_run: input.bool("DryRun").unwrap_or(false),
        bytes: records.iter().map(size).sum(),
        keyless: records.iter().position(|record| record.str("PartitionKey").is_none()),
    }
}

/// A record needs a key where records find their shards by it.
fn keyless(operation: &str, place: usize) -> Error {
    let member = match operation {
        "PutRecords" => format!("records.{}.member.partitionKey", place + 1),
        _ => "partitionKey".to_owned(),
    };
    let text = format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    );
    Error::new(Code::ValidationException, text)
}

fn explicit(text: &str) -> Result<u128, Error> {
    hash_key(text).map(|key| key.0).ok_or_else(|| {
        invalid(format!(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
        ))
    })
}

/// Checks a `SequenceNumberForOrdering`. Records of one client are in order anyway; so all it can be is wrong.
fn check_ordering(text: &str, now: WallUs, about: &About<'_>) -> Result<(), Error> {
    // Numbers of the oldest kind are shorter and say little; 0 stands for none.
    let is_old = text.len() < 40;
    let is_fine = match text.parse::<SequenceNumber>() {
        Ok(number) => number.arrival_s() <= now.second(),
        Err(_) => is_old,
    };
    if is_fine {
        return Ok(());
    }
    let About { account, stream, .. } = about;
    Err(invalid(format!(
        "ExclusiveMinimumSequenceNumber {text} used in PutRecord on stream {stream} under account {account} is invalid."
    )))
}
