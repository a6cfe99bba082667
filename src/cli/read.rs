//! `millstream get` and `millstream tail`: records of a stream, of one shard or of all. All are read across splits and
//! merges, parents before children; one is read to its end.

mod member;

use std::io::{self, Write};

use crate::cli::args::{ReadArgs, TailArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::moment::From;
use crate::cli::output::{Format, Shown};
use crate::cli::remote::{self, Remote, failure};
use crate::client::{Consumer, ConsumerOptions, Error, Merged, Mode, Record, Start, Stop};
use crate::runtime::Reactor;
use crate::runtime::tokio::TokioReactor;
use crate::types::ShardNumber;

/// Output is handed on when this much has gathered, or nothing more is at hand.
const FLUSH_BYTES: usize = 256 << 10;

/// Runs `get`: records are asked for.
pub fn get(args: &ReadArgs) -> Result<(), Failure> {
    remote::with(&args.node, async |client| read(args, client, Mode::Get, None).await)
}

/// Runs `tail`: records are pushed, as they are to everybody, through a registered consumer's pipe, or to a member of an
/// application.
pub fn tail(args: &TailArgs) -> Result<(), Failure> {
    remote::with(&args.read.node, async |client| {
        let consumer = match &args.consumer {
            Some(name) => {
                let found = client.describe_consumer(&args.read.stream, name).await;
                Some(found.map_err(|error| failure(&error))?.id)
            }
            None => None,
        };
        match &args.group {
            Some(application) => member::run(&args.read, &client, application, consumer).await,
            None => read(&args.read, client, Mode::Push, consumer).await,
        }
    })
}

async fn read(args: &ReadArgs, client: Remote, mode: Mode, consumer: Option<u64>) -> Result<(), Failure> {
    let default_from = match mode {
        Mode::Get => From::Horizon,
        Mode::Push => From::Latest,
    };
    let from = args.from.unwrap_or(default_from).resolve(client.reactor().wall());
    let shard = shard_to_read(args, &client, from).await?;
    let options = ConsumerOptions {
        mode,
        stop: if args.follows(default_from) { Stop::Never } else { Stop::AtEnd },
        retry_for: args.node.retry_for,
        consumer,
        ..ConsumerOptions::default()
    };
    let source = open(&client, &args.stream, shard, start(from), options).await?;
    let is_whole = print(source, Format::of(args.format), args.limit).await?;
    match shard {
        Some(shard) if is_whole => tell_children(&client, &args.stream, shard).await,
        _ => Ok(()),
    }
}

/// The one shard to read, if it is one.
async fn shard_to_read(args: &ReadArgs, client: &Remote, from: From) -> Result<Option<ShardNumber>, Failure> {
    let shards = client.describe_stream(&args.stream).await.map_err(|error| failure(&error))?.shards;
    let named = match from {
        From::Sequence(sequence) => Some(sequence.shard()),
        _ => args.shard,
    };
    if args.shard.is_some() && args.shard != named {
        return Err(Failure::new(Exit::Usage, "the sequence number is one of another shard than --shard says"));
    }
    let shard = match (named, from.needs_shard()) {
        (Some(number), _) => Some(number),
        (None, true) => match shards.all() {
            [only] => Some(only.number),
            _ => {
                let message = "an offset is a place in one shard: say which with --shard";
                return Err(Failure::new(Exit::Usage, message));
            }
        },
        (None, false) => None,
    };
    match shard {
        Some(number) if shards.shard(number).is_none() => {
            Err(Failure::new(Exit::NotFound, format_args!("{} has no {number}", args.stream)))
        }
        shard => Ok(shard),
    }
}

/// Whoever read one shard to its end learns where its keys go on.
async fn tell_children(client: &Remote, stream: &str, number: ShardNumber) -> Result<(), Failure> {
    let shards = client.describe_stream(stream).await.map_err(|error| failure(&error))?.shards;
    if shards.shard(number).is_some_and(|shard| shard.closed.is_some()) {
        let children: Vec<_> = shards.children(number).map(|child| child.number.to_string()).collect();
        match children.is_empty() {
            true => eprintln!("millstream: {number} is closed, this was its end"),
            false => {
                eprintln!("millstream: {number} is closed, this was its end; it goes on in {}", children.join(" and "))
            }
        }
    }
    Ok(())
}

const fn start(from: From) -> Start {
    match from {
        From::Latest => Start::Latest,
        From::Horizon => Start::Horizon,
        From::At(time) => Start::AtTime(time),
        From::Offset(offset) => Start::At(offset),
        From::Sequence(sequence) => Start::At(sequence.at()),
        From::Ago(_) => panic!("resolved against the clock before"),
    }
}

enum Source {
    One(Box<Consumer<TokioReactor>>),
    All(Merged<TokioReactor>),
}

async fn open(
    client: &Remote,
    stream: &str,
    shard: Option<ShardNumber>,
    start: Start,
    options: ConsumerOptions,
) -> Result<Source, Failure> {
    let opened = match shard {
        Some(shard) => client.consumer(stream, shard, start, options).await.map(|one| Source::One(Box::new(one))),
        None => client.merged(stream, start, options).await.map(Source::All),
    };
    opened.map_err(|error| failure(&error))
}

impl Source {
    /// The next record. A loss on the way is told to the operator; what is intact behind it still comes.
    async fn next(&mut self, losses: &mut Option<Failure>) -> Option<Result<Record, Failure>> {
        loop {
            let (shard, error) = match self {
                Self::One(consumer) => match consumer.next().await? {
                    Ok(record) => return Some(Ok(record)),
                    Err(error) => (consumer.shard().number, error),
                },
                Self::All(merged) => match merged.next().await? {
                    Ok(record) => return Some(Ok(record)),
                    Err(error) => (error.shard, error.error),
                },
            };
            let skipped = match (&error, &mut *self) {
                (Error::BeforeHorizon { horizon: next } | Error::Damaged { resume: next }, Self::One(consumer)) => {
                    consumer.seek(*next);
                    true
                }
                // By itself it goes on behind a loss; after another error, with the other shards.
                (_, Self::All(_)) => true,
                _ => false,
            };
            let failed = Failure::new(failure(&error).exit, format_args!("{shard}: {error}"));
            if !skipped {
                return Some(Err(failed));
            }
            failed.report(&mut io::stderr());
            losses.get_or_insert(Failure { messages: Vec::new(), ..failed });
        }
    }
}

/// Prints records until the source or the limit ends; says whether it was the source.
async fn print(mut source: Source, format: Format, limit: Option<u64>) -> Result<bool, Failure> {
    let (mut out, mut losses) = (Vec::new(), None);
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        let next = {
            let mut next = Box::pin(source.next(&mut losses));
            match futures_lite::future::poll_once(&mut next).await {
                Some(record) => record,
                // Nothing is at hand: show what there is before waiting.
                None => {
                    flush(&mut out)?;
                    next.await
                }
            }
        };
        let Some(record) = next else {
            flush(&mut out)?;
            return losses.map_or(Ok(true), Err);
        };
        let record = match record {
            Ok(record) => record,
            Err(failed) => {
                flush(&mut out)?;
                return Err(failed);
            }
        };
        format.write(&shown(&record), &mut out);
        if out.len() >= FLUSH_BYTES {
            flush(&mut out)?;
        }
        left -= 1;
    }
    flush(&mut out)?;
    losses.map_or(Ok(false), Err)
}

fn shown(record: &Record) -> Shown<'_> {
    Shown {
        shard: record.shard,
        offset: record.offset,
        arrival: record.arrival,
        key: record.key(),
        data: record.data(),
    }
}

fn flush(out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(out).and_then(|()| stdout.flush()).map_err(Failure::from_output)?;
    out.clear();
    Ok(())
}
