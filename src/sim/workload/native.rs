//! A client of few words for the native protocol: one connection, requests and their answers.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

use bytes::BytesMut;

use crate::protocol::messages::{Credit, Hello};
use crate::protocol::{
    Decoder, Encode, Envelope, ErrorAnswer, FEATURES, Kind, Message, Next, Operation, Side, VERSION, VERSION_MIN,
};
use crate::runtime::{Reactor, ReadHalf, WriteHalf};
use crate::sim::{SimReadHalf, SimRuntime, SimWriteHalf};

/// Room for one read.
const READ_BYTES: usize = 64 << 10;

/// A connection that was greeted.
pub struct Connection {
    reader: SimReadHalf,
    writer: SimWriteHalf,
    decoder: Decoder,
    buffer: BytesMut,
    next: u64,
    /// Messages that arrived before somebody asked for them.
    early: BTreeMap<u64, Vec<Message>>,
}

/// An error that the node answered with, as its code.
pub type Refusal = ErrorAnswer<'static>;

impl Connection {
    /// Connects and shakes hands.
    pub async fn open(rt: &SimRuntime, addr: SocketAddr) -> io::Result<Self> {
        let (reader, writer) = rt.connect(addr).await?;
        let mut this = Self {
            reader,
            writer,
            decoder: Decoder::new(Side::Client),
            buffer: BytesMut::with_capacity(READ_BYTES),
            next: 1,
            early: BTreeMap::new(),
        };
        let hello = Hello {
            version_min: VERSION_MIN,
            version_max: VERSION,
            features: FEATURES,
            client: "workload",
            token: &[],
        };
        let number = this.send(&hello, &[]).await?;
        match answer::<Hello<'_>>(&this.receive(number).await?)? {
            Ok(()) => Ok(this),
            Err(refusal) => Err(io::Error::other(refusal.message.into_owned())),
        }
    }

    /// Sends a request; gives its number.
    pub async fn send<O: Operation + Encode>(&mut self, request: &O, body: &[u8]) -> io::Result<u64> {
        let number = self.next;
        self.next += 1;
        let mut bytes = Vec::new();
        let mut envelope = Envelope::request::<O>(number);
        if !body.is_empty() {
            envelope = envelope.body(u32::try_from(body.len()).expect("bodies are small"), crc32fast::hash(body));
        }
        envelope.encode(request, &mut bytes);
        self.writer.write_all(&mut [IoSlice::new(&bytes), IoSlice::new(body)]).await?;
        Ok(number)
    }

    /// Grants a subscription more credit.
    pub async fn grant(&mut self, subscription: u64, bytes: u32) -> io::Result<()> {
        let mut out = Vec::new();
        Envelope::credit(subscription).encode(&Credit { subscription, bytes }, &mut out);
        self.writer.write_all(&mut [IoSlice::new(&out)]).await
    }

    /// The next message that belongs to request `number`.
    pub async fn receive(&mut self, number: u64) -> io::Result<Message> {
        loop {
            if let Some(early) = self.early.get_mut(&number) {
                let message = early.remove(0);
                if early.is_empty() {
                    self.early.remove(&number);
                }
                return Ok(message);
            }
            let message = self.message().await?;
            if message.head.correlation == 0 {
                let said = format!("the connection was refused: {:?}", message.args);
                return Err(io::Error::other(said));
            }
            self.early.entry(message.head.correlation).or_default().push(message);
        }
    }

    async fn message(&mut self) -> io::Result<Message> {
        loop {
            let next = self.decoder.next(&mut self.buffer).unwrap_or_else(|error| panic!("the node sent {error}"));
            let need = match next {
                Next::Message(message) => return Ok(message),
                Next::Need(need) => need,
            };
            self.buffer.reserve(need.max(READ_BYTES));
            if self.reader.read(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Whether the node refused; what it sent must be an answer.
fn answer<O: Operation>(message: &Message) -> io::Result<Result<(), Refusal>> {
    assert!(matches!(message.head.kind, Kind::Answer | Kind::Error), "{:?} is no answer", message.head.kind);
    let answer = message.answer::<O>().unwrap_or_else(|error| panic!("the node sent a malformed answer: {error}"));
    Ok(answer.map(|_| ()).map_err(owned))
}

/// A refusal that lives on its own.
pub fn owned(error: ErrorAnswer<'_>) -> Refusal {
    ErrorAnswer { message: error.message.into_owned().into(), ..error }
}
