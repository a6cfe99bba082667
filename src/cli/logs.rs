//! `millstream log`: what an operator does to files while no node runs.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::args::{LogCommand, LogDirArgs, LogDumpArgs, LogRepairArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::moment::Utc;
use crate::cli::output::{escaped, table};
use crate::engine::inspect::{AtStart, DumpOptions, Flow, InspectError, Inspector, LogDir, Outcome, Severity, Sight};
use crate::format::frame::{FrameHeader, Kind};
use crate::format::record::Records;
use crate::runtime::glommio::GlommioRuntime;
use crate::runtime::glommio::launch::run_unpinned;
use crate::types::Offset;

/// Runs a `log` command.
pub fn run(command: &LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Dump(args) => dump(args.clone()),
        LogCommand::Verify(args) => verify(args.clone()),
        LogCommand::RebuildIndex(args) => rebuild(args.clone()),
        LogCommand::Repair(args) => repair(args.clone()),
    }
}

fn with(
    dir: &Path,
    work: impl AsyncFnOnce(Inspector<GlommioRuntime>) -> Result<(), Failure> + 'static,
) -> Result<(), Failure> {
    let dir = dir.to_path_buf();
    let done = run_unpinned(move |rt| async move {
        let inspector = Inspector::open(rt, &dir).await.map_err(|error| failure(&error))?;
        work(inspector).await
    });
    done.map_err(|error| Failure::new(Exit::Failure, error))?
}

fn failure(error: &InspectError) -> Failure {
    let exit = match error {
        InspectError::Locked(_) => Exit::Unavailable,
        InspectError::NoSuchLog { .. } | InspectError::NotOurs(_) => Exit::NotFound,
        InspectError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => Exit::NotFound,
        _ => Exit::Failure,
    };
    Failure::new(exit, error)
}

fn dump(args: LogDumpArgs) -> Result<(), Failure> {
    let options = DumpOptions {
        from: Offset(args.from.unwrap_or(0)),
        frames_max: args.limit.unwrap_or(u64::MAX),
        pads: args.pads,
        ..DumpOptions::default()
    };
    with(&args.dir.clone(), async move |inspector| {
        let mut out = io::BufWriter::new(io::stdout());
        let mut broken = None;
        let mut see = |log: &LogDir, sight: Sight<'_>| {
            let text = if args.json { json_of(log, &sight, args.records) } else { text_of(log, &sight, args.records) };
            match out.write_all(text.as_bytes()) {
                Ok(()) => Flow::Continue(()),
                Err(error) => {
                    broken = Some(error);
                    Flow::Break(())
                }
            }
        };
        let dumped = inspector.dump(&options, &mut see).await;
        dumped.map_err(|error| failure(&error))?;
        broken.map_or(Ok(()), |error| Err(Failure::from_output(error)))?;
        out.flush().map_err(Failure::from_output)
    })
}

const fn kind(header: &FrameHeader) -> &'static str {
    match header.kind {
        Kind::Data => "data",
        Kind::NoOp => "no-op",
        Kind::Membership => "membership",
        Kind::Control => "control",
        Kind::Pad => "pad",
    }
}

fn text_of(log: &LogDir, sight: &Sight<'_>, records: bool) -> String {
    match sight {
        Sight::Segment { number, header, len } => match header {
            Ok(_) => format!("# group {} segment {number}, {len} bytes\n", log.group),
            Err(error) => {
                format!("# group {} segment {number}, {len} bytes: first block damaged: {error}\n", log.group)
            }
        },
        Sight::Frame { segment, pos, header, body } => {
            let producer = header.producer.map_or_else(String::new, |stamp| {
                format!(" producer {} epoch {} seq {}", stamp.id, stamp.epoch, stamp.seq)
            });
            let mut text = format!(
                "{} index {} offsets {}..{} term {} arrival {} bytes {} segment {segment} pos {pos} durable {}{producer}\n",
                kind(header),
                header.index,
                header.base_offset,
                header.end_offset(),
                header.term,
                Utc(header.arrival_us),
                header.frame_bytes(),
                header.durable_hint,
            );
            if records && header.kind == Kind::Data {
                for (number, record) in Records::new(body).enumerate() {
                    let offset = header.base_offset.plus(number as u64);
                    text += &match record {
                        Ok(record) => {
                            format!("  {offset} {} {}\n", escaped(record.key.as_bytes()), escaped(record.data))
                        }
                        Err(error) => format!("  {offset} {error}\n"),
                    };
                }
            }
            text
        }
        Sight::Padding { segment, pos } => {
            format!("# group {} segment {segment} pos {pos}: damaged padding, the log goes on behind it\n", log.group)
        }
        Sight::Stop { segment, pos, stop, verdict } => {
            format!("# group {} segment {segment} pos {pos}: {verdict:?} ({stop:?})\n", log.group)
        }
    }
}

fn json_of(log: &LogDir, sight: &Sight<'_>, records: bool) -> String {
    let value = match sight {
        Sight::Segment { number, header, len } => json!({
            "segment": number, "group": log.group.0, "bytes": len,
            "error": header.as_ref().err().map(ToString::to_string),
        }),
        Sight::Frame { segment, pos, header, body } => {
            let mut value = json!({
                "frame": kind(header), "group": log.group.0, "segment": segment, "pos": pos.0,
                "index": header.index.0, "base_offset": header.base_offset.0, "record_count": header.record_count,
                "term": header.term.0, "arrival_us": header.arrival_us.0, "frame_bytes": header.frame_bytes(),
                "durable_hint": header.durable_hint.0, "commit_hint": header.commit_hint.0,
                "chain": format!("{:016x}", header.chain.0),
                "producer": header.producer.map(|stamp| json!([stamp.id.0, stamp.epoch, stamp.seq])),
            });
            if records && header.kind == Kind::Data {
                let records = Records::new(body).map_while(Result::ok);
                value["records"] = records
                    .map(|record| json!({"key": record.key, "data": String::from_utf8_lossy(record.data)}))
                    .collect::<Vec<Value>>()
                    .into();
            }
            value
        }
        Sight::Padding { segment, pos } => json!({
            "damaged_padding": true, "group": log.group.0, "segment": segment, "pos": pos.0,
        }),
        Sight::Stop { segment, pos, stop, verdict } => json!({
            "stop": format!("{verdict:?}"), "group": log.group.0, "segment": segment, "pos": pos.0,
            "reason": format!("{stop:?}"),
        }),
    };
    value.to_string() + "\n"
}

fn verify(args: LogDirArgs) -> Result<(), Failure> {
    with(&args.dir.clone(), async move |inspector| {
        let verified = inspector.verify(&mut |_| {}).await.map_err(|error| failure(&error))?;
        let mut text = String::new();
        for log in &verified.logs {
            let name = log.shard.as_ref().map_or_else(|| "catalogue".to_owned(), ToString::to_string);
            let at_start = match log.at_start {
                AtStart::Opens => "opens",
                AtStart::Cuts => "opens, leaving an unfinished write behind",
                AtStart::Quarantined => "QUARANTINED",
                AtStart::Refuses => "REFUSES TO OPEN",
            };
            if args.json {
                let value = json!({
                    "log": name, "group": log.log.group.0, "segments": log.segments, "frames": log.frames,
                    "records": log.records, "bytes": log.bytes, "first": log.first.0, "end": log.end.0, "at_start": at_start,
                });
                text += &(value.to_string() + "\n");
            } else if log.at_start != AtStart::Opens {
                text += &format!("{name} (group {}): {at_start}\n", log.log.group);
            }
        }
        for finding in &verified.findings {
            let severity = match finding.what.severity() {
                Severity::Note => "note",
                Severity::Warning => "warning",
                Severity::Loss => "LOSS",
                Severity::Fatal => "FATAL",
            };
            let name = finding.shard.as_ref().map(ToString::to_string);
            if args.json {
                let value = json!({
                    "finding": severity, "shard": name, "group": finding.group.map(|group| group.0),
                    "path": finding.path.display().to_string(), "what": finding.what.to_string(),
                });
                text += &(value.to_string() + "\n");
            } else {
                let name = name.map_or_else(String::new, |name| format!("{name}: "));
                text += &format!("{severity}: {name}{}: {}\n", finding.path.display(), finding.what);
            }
        }
        let totals = verified.totals();
        if !args.json {
            text += &format!(
                "{} logs, {} segments, {} frames, {} records, {} bytes read\n",
                totals.logs, totals.segments, totals.frames, totals.records, totals.bytes
            );
        }
        io::stdout().write_all(text.as_bytes()).map_err(Failure::from_output)?;
        match verified.worst() {
            Some(Severity::Loss | Severity::Fatal) => Err(Failure::new(Exit::Damaged, "stored data is damaged")),
            None | Some(Severity::Note | Severity::Warning) => Ok(()),
        }
    })
}

fn rebuild(args: LogDirArgs) -> Result<(), Failure> {
    with(&args.dir.clone(), async move |inspector| {
        let rebuilt = inspector.rebuild_index(&mut |_| {}).await.map_err(|error| failure(&error))?;
        let outcome = |outcome| match outcome {
            Outcome::Unchanged => "right as it was",
            Outcome::Written => "written",
            Outcome::Damaged => "segment damaged, left alone",
        };
        let text = if args.json {
            let lines = rebuilt.iter().map(|one| {
                json!({"group": one.log.group.0, "segment": one.segment, "outcome": outcome(one.outcome)}).to_string()
            });
            lines.map(|line| line + "\n").collect()
        } else {
            let rows: Vec<_> = rebuilt
                .iter()
                .map(|one| [one.log.group.to_string(), one.segment.to_string(), outcome(one.outcome).to_owned()])
                .collect();
            table(["GROUP", "SEGMENT", "INDEX"], &rows)
        };
        io::stdout().write_all(text.as_bytes()).map_err(Failure::from_output)?;
        if rebuilt.iter().any(|one| one.outcome == Outcome::Damaged) {
            return Err(Failure::new(Exit::Damaged, "a segment is damaged: see `millstream log verify`"));
        }
        Ok(())
    })
}

fn repair(args: LogRepairArgs) -> Result<(), Failure> {
    with(&args.dir.clone(), async move |inspector| {
        let remedies = inspector.remedies().await.map_err(|error| failure(&error))?;
        let mut text: String = remedies.iter().map(|remedy| format!("{remedy}\n")).collect();
        text += match (remedies.is_empty(), args.yes) {
            (true, _) => "nothing has to be repaired\n",
            (false, false) => "nothing was changed; say --yes to do this\n",
            (false, true) => "done; in force from the next start on; nothing was deleted\n",
        };
        if args.yes {
            for remedy in &remedies {
                inspector.apply(remedy).await.map_err(|error| failure(&error))?;
            }
        }
        io::stdout().write_all(text.as_bytes()).map_err(Failure::from_output)
    })
}
