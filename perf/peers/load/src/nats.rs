//! NATS JetStream in its own protocol: a partition is a stream with one subject and file storage, records are published with
//! a reply subject for the acknowledgement (as the clients' asynchronous publish does) and come back by a push consumer.

use std::io;
use std::rc::Rc;

use bytes::{BufMut, BytesMut};
use tokio::task::spawn_local;

use crate::meter::Meter;
use crate::wire::{self, Reader, Writer};
use crate::{Args, Error, pace};

/// Subjects, followed by the partition. Messages are told apart by the subscription they come for, whose number is the
/// partition: what is pushed keeps the subject it was published to.
const DATA: &str = "peers.";
const ACKS: &str = "_ACK.";
const PUSHES: &str = "_PUSH.";
const ANSWERS: &str = "_ANSWER";

/// A server with empty streams. Publishing and getting have a connection each.
pub struct Target {
    publish: (Writer, std::cell::RefCell<Option<Reader>>),
    get: (Writer, std::cell::RefCell<Option<Reader>>),
    partitions: usize,
}

impl Target {
    /// Connects and creates the streams.
    pub async fn connect(args: &Args) -> Result<Self, Error> {
        let (publish, mut acks) = open(args, ACKS).await?;
        for partition in 0..args.partitions {
            let name = format!("peers-{partition}");
            let delete = format!("$JS.API.STREAM.DELETE.{name}");
            let _ = ask(&publish, &mut acks, &delete, "").await?;
            let config = format!(
                "{{\"name\":\"{name}\",\"subjects\":[\"{DATA}{partition}\"],\"storage\":\"file\",\"retention\":\"limits\",\
                 \"num_replicas\":1}}"
            );
            expect(&ask(&publish, &mut acks, &format!("$JS.API.STREAM.CREATE.{name}"), &config).await?)?;
        }
        let (get, mut pushes) = open(args, PUSHES).await?;
        for partition in 0..args.partitions {
            let name = format!("peers-{partition}");
            let config = format!(
                "{{\"stream_name\":\"{name}\",\"config\":{{\"deliver_subject\":\"{PUSHES}{partition}\",\
                 \"deliver_policy\":\"all\",\"ack_policy\":\"none\",\"replay_policy\":\"instant\"}}}}"
            );
            expect(&ask(&get, &mut pushes, &format!("$JS.API.CONSUMER.CREATE.{name}"), &config).await?)?;
        }
        let keep = |reader| std::cell::RefCell::new(Some(reader));
        Ok(Self { publish: (publish, keep(acks)), get: (get, keep(pushes)), partitions: args.partitions })
    }
}

impl pace::Target for Target {
    async fn start(&self, meter: Rc<Meter>) -> Result<(), Error> {
        let partitions = self.partitions;
        for ((writer, reader), is_push) in [(&self.publish, false), (&self.get, true)] {
            let mut reader = reader.take().ok_or("started twice")?;
            let (writer, at) = (writer.clone(), Rc::clone(&meter));
            spawn_local(async move {
                let ended = loop {
                    let (subscription, payload) = match message(&writer, &mut reader).await {
                        Ok(message) => message,
                        Err(error) => break error.to_string(),
                    };
                    match subscription.parse().ok().filter(|partition| *partition < partitions) {
                        None => {}
                        Some(partition) if is_push => at.received(partition, &payload),
                        Some(_) if expect(&payload).is_err() => break String::from_utf8_lossy(&payload).into_owned(),
                        Some(partition) => at.acked(partition),
                    }
                };
                at.fail(ended);
            });
        }
        Ok(())
    }

    async fn send(&self, partition: usize, record: &[u8]) -> Result<(), Error> {
        let head = format!("PUB {DATA}{partition} {ACKS}{partition} {}\r\n", record.len());
        self.publish.0.send(|out| publish(out, &head, record)).await;
        Ok(())
    }
}

fn put(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
}

fn publish(out: &mut BytesMut, head: &str, payload: &[u8]) {
    out.reserve(head.len() + payload.len() + 2);
    put(out, head);
    out.put_slice(payload);
    put(out, "\r\n");
}

/// A connection that is subscribed to answers and to `subjects` of all partitions.
async fn open(args: &Args, subjects: &str) -> Result<(Writer, Reader), Error> {
    let (writer, mut reader) = wire::connect(args.address).await?;
    let info = reader.line().await?;
    if !info.starts_with(b"INFO ") {
        return Err("this is no NATS server".into());
    }
    let connect = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0\"}";
    let mut hello = format!("{connect}\r\nSUB {ANSWERS} {ANSWERS}\r\n");
    for partition in 0..args.partitions {
        hello.push_str(&format!("SUB {subjects}{partition} {partition}\r\n"));
    }
    writer.send(|out| put(out, &hello)).await;
    Ok((writer, reader))
}

/// The next message: its subscription and its payload. Pings on the way are answered.
async fn message(writer: &Writer, reader: &mut Reader) -> io::Result<(String, BytesMut)> {
    loop {
        let line = reader.line().await?;
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split_whitespace();
        match words.next() {
            // MSG subject sid [reply] bytes
            Some("MSG") => {
                let subscription = words.nth(1).unwrap_or_default().to_owned();
                let len = words.next_back().and_then(|len| len.parse().ok());
                let len = len.ok_or_else(|| io::Error::other(format!("not understood: {line}")))?;
                return Ok((subscription, reader.block(len).await?));
            }
            Some("PING") => writer.send(|out| put(out, "PONG\r\n")).await,
            Some("PONG" | "INFO" | "+OK") => {}
            _ => return Err(io::Error::other(line.into_owned())),
        }
    }
}

async fn ask(writer: &Writer, reader: &mut Reader, subject: &str, payload: &str) -> io::Result<BytesMut> {
    let head = format!("PUB {subject} {ANSWERS} {}\r\n", payload.len());
    writer.send(|out| publish(out, &head, payload.as_bytes())).await;
    loop {
        let (subscription, answer) = message(writer, reader).await?;
        if subscription == ANSWERS {
            return Ok(answer);
        }
    }
}

/// The answer, unless it reports an error.
fn expect(answer: &[u8]) -> Result<(), Error> {
    if answer.windows(8).any(|part| part == b"\"error\":") {
        return Err(String::from_utf8_lossy(answer).into());
    }
    Ok(())
}
