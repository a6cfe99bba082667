//! `millstream tail --group`: one member of an application. Processes with the same application share the shards; what a
//! process that dies had printed and not noted yet is printed again by another.

use std::io;

use futures_lite::future::or;

use super::{flush, shown, start};
use crate::cli::args::ReadArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::moment::From;
use crate::cli::output::Format;
use crate::cli::remote::{Remote, failure};
use crate::client::group::{Checkpoint, Group, GroupBatch, GroupEvent, GroupItem, GroupOptions};
use crate::client::merged::ShardError;
use crate::runtime::Reactor;
use crate::runtime::glommio::signals;
use crate::runtime::tokio::TokioReactor;

/// Reads as a member until interrupted, or until as many records are printed as were asked for; then leaves, so that others
/// take over at once.
pub async fn run(args: &ReadArgs, client: &Remote, application: &str, consumer: Option<u64>) -> Result<(), Failure> {
    let from = args.from.unwrap_or(From::Latest).resolve(client.reactor().wall());
    if matches!(from, From::Offset(_) | From::Sequence(_)) {
        let message = "an application begins at horizon, latest or a time: an offset is a place in one shard";
        return Err(Failure::new(Exit::Usage, message));
    }
    let stop = signals::on_termination().map_err(|error| Failure::new(Exit::Failure, error))?;
    let options = GroupOptions { start: start(from), consumer, ..GroupOptions::default() };
    let group = client.group(application, &args.stream, options).await.map_err(|error| failure(&error))?;
    let mut member =
        Member { group, format: Format::of(args.format), left: args.limit.unwrap_or(u64::MAX), out: Vec::new() };
    let mut losses = None;
    let ended = loop {
        if member.left == 0 {
            break Ok(());
        }
        let interrupted = async {
            stop.requested(1).await;
            Ok(None)
        };
        let next = or(interrupted, async { Ok::<_, Failure>(Some(member.group.next_item().await)) }).await;
        match next {
            Ok(None) | Ok(Some(None)) => break Ok(()),
            Ok(Some(Some(Ok(GroupItem::Event(event))))) => tell(event),
            Ok(Some(Some(Ok(GroupItem::Batch(batch))))) => {
                if let Err(failed) = member.print(batch).await {
                    break Err(failed);
                }
            }
            // What is lost in one shard does not keep the application from the others.
            Ok(Some(Some(Err(error)))) => {
                losses.get_or_insert(report(&error));
            }
            Err(failed) => break Err(failed),
        }
    };
    let left = member.group.leave().await.map_err(|error| failure(&error));
    ended.and(left).and(losses.map_or(Ok(()), Err))
}

struct Member {
    group: Group<TokioReactor>,
    format: Format,
    /// Records that may still be printed.
    left: u64,
    out: Vec<u8>,
}

impl Member {
    /// Prints a batch. It is handed on whole before the next one is asked for, which notes it as processed.
    async fn print(&mut self, mut batch: GroupBatch) -> Result<(), Failure> {
        while let Some(record) = batch.records.next_record() {
            let record = record.map_err(|error| failure(&error.into()))?;
            if self.left == 0 {
                // The rest of the batch is for the next member that reads this shard.
                flush(&mut self.out)?;
                let noted = self.group.checkpoint_at(batch.shard, record.offset).await;
                return noted.map_err(|error| failure(&error));
            }
            self.format.write(&shown(&record), &mut self.out);
            self.left -= 1;
        }
        flush(&mut self.out)?;
        if self.left == 0 {
            return self.group.checkpoint(&batch).await.map_err(|error| failure(&error));
        }
        Ok(())
    }
}

/// What happens to shards is said beside the records.
fn tell(event: GroupEvent) {
    match event {
        GroupEvent::Assigned(shard, Checkpoint::At(offset)) => {
            eprintln!("millstream: reads {shard} from offset {offset} on");
        }
        GroupEvent::Assigned(shard, Checkpoint::Latest) => {
            eprintln!("millstream: reads {shard} from its newest record on")
        }
        GroupEvent::Assigned(shard, _) => eprintln!("millstream: reads {shard} from its oldest record on"),
        GroupEvent::Lost(shard) => eprintln!("millstream: {shard} goes to another member"),
        GroupEvent::ShardEnded(shard) => eprintln!("millstream: {shard} is read to its end"),
    }
}

fn report(error: &ShardError) -> Failure {
    let failed = Failure::new(failure(&error.error).exit, error);
    failed.report(&mut io::stderr());
    Failure { messages: Vec::new(), ..failed }
}
