//! `millstream put`: records from a file or standard input into a stream.

#![expect(clippy::disallowed_methods, reason = "reads the input on a thread of its own, beside the reactor")]

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::cli::args::PutArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::input::{InputError, InputRecord, InputRecords};
use crate::cli::output::Progress;
use crate::cli::remote::{self, Remote, failure};
use crate::client::{Producer, ProducerOptions};
use crate::runtime::tokio::{FromThread, TokioReactor, from_thread};
use crate::types::{HashKey, ShardNumber};

/// Records that are read ahead.
const READ_AHEAD: usize = 1024;

/// A record, or the mistake that ends the input, and the bytes of input taken so far.
type Brought = (Result<InputRecord, InputError>, u64);

/// Runs `put`.
pub fn run(args: &PutArgs) -> Result<(), Failure> {
    let (input, total_bytes) = open(&args.file)?;
    let shape = args.input.clone();
    let work = move |bring: &dyn Fn(Brought) -> bool| {
        let mut records = InputRecords::new(BufReader::with_capacity(256 << 10, input), &shape);
        while let Some(record) = records.next() {
            let last = record.is_err();
            if !bring((record, records.taken())) || last {
                break;
            }
        }
    };
    let progress = Progress::over_bytes(total_bytes, args.quiet);
    let done = remote::with(&args.node, async |client| {
        let records = from_thread(READ_AHEAD, work).map_err(|error| Failure::new(Exit::Failure, error))?;
        put(args, client, records, &progress).await
    });
    progress.finish();
    let (records, bytes) = done?;
    if !args.quiet {
        eprintln!("{records} records, {bytes} bytes of data");
    }
    Ok(())
}

async fn put(
    args: &PutArgs,
    client: Remote,
    mut records: FromThread<Brought>,
    progress: &Progress,
) -> Result<(u64, u64), Failure> {
    let hash_key = match args.shard {
        Some(number) => Some(key_of(&client, &args.stream, number).await?),
        None => None,
    };
    let defaults = ProducerOptions::default();
    let options = ProducerOptions {
        batch_records_max: args.batch,
        delivery_timeout: defaults.delivery_timeout.min(args.node.retry_for.max(std::time::Duration::from_secs(1))),
        ..defaults
    };
    let producer = client.producer(&args.stream, options).await.map_err(|error| failure(&error))?;
    let (mut count, mut bytes) = (0, 0);
    let mut wrong_input = None;
    let mut shown = 0;
    while let Some((record, taken)) = records.next().await {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                wrong_input = Some(Failure::new(Exit::Usage, error));
                break;
            }
        };
        send(&producer, &record, hash_key).await?;
        count += 1;
        bytes += record.data.len() as u64;
        progress.advance(taken - shown, count);
        shown = taken;
    }
    // What came before the mistake was asked for, and is stored.
    producer.close().await.map_err(|error| failure(&error))?;
    wrong_input.map_or(Ok((count, bytes)), Err)
}

async fn send(
    producer: &Producer<TokioReactor>,
    record: &InputRecord,
    hash_key: Option<HashKey>,
) -> Result<(), Failure> {
    let sent = match hash_key {
        None => producer.put_detached(&record.key, &record.data).await,
        Some(hash_key) => producer.put_detached_explicit(&record.key, hash_key, &record.data).await,
    };
    sent.map_err(|error| failure(&error))
}

/// A hash key that leads to the shard.
async fn key_of(client: &Remote, stream: &str, number: ShardNumber) -> Result<HashKey, Failure> {
    let described = client.describe_stream(stream).await.map_err(|error| failure(&error))?;
    let Some(shard) = described.shards.shard(number) else {
        return Err(Failure::new(Exit::NotFound, format_args!("{stream} has no {number}")));
    };
    // Its keys have another shard by now: the records would go there.
    if shard.closed.is_some() {
        let children: Vec<_> = described.shards.children(number).map(|child| child.number.to_string()).collect();
        let message =
            format_args!("{number} is closed and takes no records; its keys went to {}", children.join(" and "));
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(shard.hash_start)
}

/// The input, and its length if it has one.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let unreadable =
        |error: io::Error| Failure::new(Exit::Usage, format_args!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let length = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), length))
}
