//! Redis Streams in its own protocol: a partition is a stream, records are added on one pipelined connection and come back
//! by blocking reads on another.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::{BufMut, BytesMut};
use tokio::task::spawn_local;

use crate::meter::Meter;
use crate::wire::{self, Reader, Writer};
use crate::{Args, Error, pace};

/// Records of one stream in one answer to a read.
const READ_RECORDS_MAX: &str = "1000";

/// A server with empty streams.
pub struct Target {
    add: Writer,
    answers: RefCell<Option<Reader>>,
    read: RefCell<Option<(Writer, Reader)>>,
    /// The partition of each command under way: answers come in their order.
    order: Rc<RefCell<std::collections::VecDeque<usize>>>,
    keys: Vec<String>,
}

impl Target {
    /// Connects and clears the streams.
    pub async fn connect(args: &Args) -> Result<Self, Error> {
        let (add, mut answers) = wire::connect(args.address).await?;
        let keys: Vec<_> = (0..args.partitions).map(|partition| format!("peers:{partition}")).collect();
        for key in &keys {
            add.send(|out| command(out, &[b"DEL", key.as_bytes()])).await;
            value(&mut answers).await?;
        }
        let read = wire::connect(args.address).await?;
        let (answers, read) = (RefCell::new(Some(answers)), RefCell::new(Some(read)));
        Ok(Self { add, answers, read, order: Rc::default(), keys })
    }
}

impl pace::Target for Target {
    async fn start(&self, meter: Rc<Meter>) -> Result<(), Error> {
        let mut answers = self.answers.take().ok_or("started twice")?;
        let (at, order) = (Rc::clone(&meter), Rc::clone(&self.order));
        spawn_local(async move {
            let ended = loop {
                match value(&mut answers).await {
                    Ok(Value::Text(_)) => match order.borrow_mut().pop_front() {
                        Some(partition) => at.acked(partition),
                        None => break "an answer too many".to_owned(),
                    },
                    Ok(other) => break format!("not an identifier: {other:?}"),
                    Err(error) => break error.to_string(),
                }
            };
            at.fail(ended);
        });
        let (writer, reader) = self.read.take().ok_or("started twice")?;
        let keys = self.keys.clone();
        spawn_local(async move {
            if let Err(error) = read(&writer, reader, &keys, &meter).await {
                meter.fail(error.to_string());
            }
        });
        Ok(())
    }

    async fn send(&self, partition: usize, record: &[u8]) -> Result<(), Error> {
        let add = |out: &mut BytesMut| {
            self.order.borrow_mut().push_back(partition);
            command(out, &[b"XADD", self.keys[partition].as_bytes(), b"*", b"d", record]);
        };
        self.add.send(add).await;
        Ok(())
    }
}

/// Reads all streams on and on, each from behind the last record it gave.
async fn read(writer: &Writer, mut reader: Reader, keys: &[String], meter: &Meter) -> io::Result<()> {
    let odd = |what: &Value| io::Error::other(format!("not understood: {what:?}"));
    let mut positions = vec![BytesMut::from("0-0"); keys.len()];
    loop {
        let mut words: Vec<&[u8]> = vec![b"XREAD", b"COUNT", READ_RECORDS_MAX.as_bytes(), b"BLOCK", b"0", b"STREAMS"];
        words.extend(keys.iter().map(String::as_bytes));
        words.extend(positions.iter().map(|position| &position[..]));
        writer.send(|out| command(out, &words)).await;
        // [[key, [[id, [field, data]], ...]], ...]
        let answer = value(&mut reader).await?;
        let Value::List(streams) = answer else { return Err(odd(&answer)) };
        for stream in streams {
            let Value::List(parts) = &stream else { return Err(odd(&stream)) };
            let [Value::Text(key), Value::List(entries)] = &parts[..] else { return Err(odd(&stream)) };
            let Some(partition) = keys.iter().position(|other| other.as_bytes() == &key[..]) else {
                return Err(odd(&stream));
            };
            for entry in entries {
                let Value::List(parts) = entry else { return Err(odd(entry)) };
                let [Value::Text(id), Value::List(fields)] = &parts[..] else { return Err(odd(entry)) };
                let [_, Value::Text(data)] = &fields[..] else { return Err(odd(entry)) };
                meter.received(partition, data);
                positions[partition] = id.clone();
            }
        }
    }
}

/// Appends a command.
fn command(out: &mut BytesMut, words: &[&[u8]]) {
    out.reserve(words.iter().map(|word| word.len() + 16).sum::<usize>() + 16);
    out.put_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.put_slice(format!("${}\r\n", word.len()).as_bytes());
        out.put_slice(word);
        out.put_slice(b"\r\n");
    }
}

/// An answer. Errors are errors.
#[derive(Debug)]
enum Value {
    Text(BytesMut),
    Number,
    Nothing,
    List(Vec<Value>),
}

async fn value(reader: &mut Reader) -> io::Result<Value> {
    let line = reader.line().await?;
    let odd = || io::Error::other(String::from_utf8_lossy(&line).into_owned());
    let (kind, rest) = line.split_first().ok_or_else(odd)?;
    let number = || std::str::from_utf8(rest).ok().and_then(|rest| rest.parse::<i64>().ok()).ok_or_else(odd);
    match kind {
        b'+' => Ok(Value::Text(rest.into())),
        b':' => Ok(Value::Number),
        b'$' | b'*' if number()? < 0 => Ok(Value::Nothing),
        b'$' => Ok(Value::Text(reader.block(number()? as usize).await?)),
        b'*' => {
            let mut list = Vec::new();
            for _ in 0..number()? {
                list.push(Box::pin(value(reader)).await?);
            }
            Ok(Value::List(list))
        }
        _ => Err(odd()),
    }
}
