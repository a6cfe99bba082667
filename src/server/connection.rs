//! One native connection: reads requests, hands them to `requests`, and lets the outbox answer.
//!
//! Bounds: a request that has begun must arrive in time; what it may occupy until then comes out of the worker's budget; the
//! connection takes up no further request while too many are unanswered or too many answers wait to be read.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use futures_lite::future;

use crate::limits::{HANDSHAKE_US_MAX, REQUEST_ARRIVAL_US_MAX};
use crate::protocol::messages::{Hello, HelloAnswer, Limits};
use crate::protocol::{
    Decoder, Envelope, ErrorAnswer, ErrorCode, FEATURES, Message, Next, Opcode, Request, Side, VERSION, VERSION_MIN,
    negotiate,
};
use crate::runtime::local::Permit;
use crate::runtime::{ReadHalf, Runtime, TaskClass, WriteHalf};
use crate::server::outbox::{Body, Outbox};
use crate::server::requests::Requests;
use crate::server::worker::Worker;
use crate::types::MonoUs;

/// Room made for the next read.
const READ_BYTES: usize = 32 << 10;

/// Requests up to this size need no budget: a connection may always hold one.
const FREE_BYTES: usize = 64 << 10;

/// How long the last answers may take to leave when a connection ends.
const LAST_WORDS_MS: u64 = 2_000;

/// How long a client that broke the protocol may take to read why its connection ends.
const LINGER_MS: u64 = 500;

/// Serves a connection until it ends.
pub async fn serve<R: Runtime>(worker: Rc<Worker<R>>, halves: (R::ReadHalf, R::WriteHalf)) {
    let (mut reader, mut writer) = halves;
    if !worker.has_place() {
        let error = ErrorAnswer::new(ErrorCode::TooManyConnections);
        let mut bytes = Vec::new();
        Envelope::connection_error().encode(&error, &mut bytes);
        let _ = writer.write_all(&mut [io::IoSlice::new(&bytes)]).await;
        writer.shutdown();
        return;
    }
    worker.connections.set(worker.connections.get() + 1);
    let outbox = Outbox::new(worker.waiting.share());
    let (rt, sending) = (worker.rt.clone(), Rc::clone(&outbox));
    worker.rt.spawn(TaskClass::Latency, async move { sending.drive(&rt, writer).await });
    let requests = Requests::new(Rc::clone(&worker), Rc::clone(&outbox));
    let mut incoming = Incoming {
        worker: Rc::clone(&worker),
        buffer: BytesMut::with_capacity(READ_BYTES),
        decoder: Decoder::new(Side::Server),
    };
    match incoming.converse(&mut reader, &requests, &outbox).await {
        Ok(()) => {}
        Err(End::Refused(error)) => {
            outbox.last_word(&error);
            incoming.linger(&mut reader).await;
        }
        Err(End::Io(error)) => tracing::debug!(%error, "a connection failed while receiving"),
    }
    requests.end();
    // Also a client that has only ended its own direction gets the answers to what it asked.
    let last = worker.rt.sleep(Duration::from_millis(LAST_WORDS_MS));
    future::or(requests.settled(), last).await;
    outbox.close();
    let last = worker.rt.sleep(Duration::from_millis(LAST_WORDS_MS));
    future::or(outbox.sent(), last).await;
    // Who does not read its last answers by now holds neither memory nor a socket any longer.
    outbox.abandon();
    worker.connections.set(worker.connections.get() - 1);
}

/// Why a conversation ended early.
enum End {
    /// The client broke the protocol: it is told, then the connection closes.
    Refused(ErrorAnswer<'static>),
    /// The connection failed.
    Io(io::Error),
}

struct Incoming<R: Runtime> {
    worker: Rc<Worker<R>>,
    buffer: BytesMut,
    decoder: Decoder,
}

impl<R: Runtime> Incoming<R> {
    async fn converse(
        &mut self,
        reader: &mut R::ReadHalf,
        requests: &Requests<R>,
        outbox: &Rc<Outbox<R>>,
    ) -> Result<(), End> {
        let first = {
            let rt = self.worker.rt.clone();
            let late = async {
                rt.sleep(Duration::from_micros(HANDSHAKE_US_MAX)).await;
                Err(End::Refused(ErrorAnswer::new(ErrorCode::TooSlow).message("no handshake")))
            };
            future::or(self.next(reader), late).await?
        };
        let Some((hello, _)) = first else { return Ok(()) };
        self.greet(&hello, outbox)?;
        drop(hello);
        loop {
            if !outbox.admit().await {
                return Ok(());
            }
            let message = {
                let worker = Rc::clone(&self.worker);
                let drained = async {
                    worker.drained().await;
                    Ok(None)
                };
                future::or(self.next(reader), drained).await
            };
            match message {
                Ok(Some((message, _permit))) => requests.take(message).await,
                Ok(None) => {
                    outbox.answered();
                    return Ok(());
                }
                Err(end) => {
                    outbox.answered();
                    return Err(end);
                }
            }
        }
    }

    fn greet(&self, message: &Message, outbox: &Outbox<R>) -> Result<(), End> {
        let refuse = |error: ErrorAnswer<'static>| Err(End::Refused(error));
        let hello: Hello<'_> = match message.request() {
            Ok(Request::Hello(hello)) => hello,
            Ok(_) => return refuse(ErrorAnswer::new(ErrorCode::HelloExpected)),
            Err(error) => return refuse(error.answer()),
        };
        let Some(version) = negotiate(hello.version_min, hello.version_max) else {
            let error = ErrorAnswer::new(ErrorCode::UnsupportedVersion);
            return refuse(error.details(VERSION_MIN.into(), VERSION.into()));
        };
        if let Some(token) = &self.worker.options.token
            && !same(token, hello.token)
        {
            return refuse(ErrorAnswer::new(ErrorCode::Unauthorized));
        }
        let answer = HelloAnswer {
            version,
            features: hello.features & FEATURES,
            node_id: self.worker.node.node_id,
            node_version: env!("CARGO_PKG_VERSION"),
            worker: self.worker.id,
            direct_ports: self.worker.direct_ports.borrow().clone(),
            limits: Limits::default(),
            wall: self.worker.rt.wall(),
            catalogue_version: self.worker.catalog.borrow().version(),
        };
        outbox.push(Envelope::answer(Opcode::Hello, message.head.correlation), &answer, Body::Empty);
        Ok(())
    }

    /// Takes in and forgets what the client has sent meanwhile, until it closes. Closing on it at once would reset the
    /// connection, and the client might never see the error.
    async fn linger(&mut self, reader: &mut R::ReadHalf) {
        let read = async {
            self.buffer = BytesMut::with_capacity(READ_BYTES);
            loop {
                self.buffer.clear();
                self.buffer.reserve(READ_BYTES);
                if !matches!(reader.read(&mut self.buffer).await, Ok(1..)) {
                    return;
                }
            }
        };
        future::or(read, self.worker.rt.sleep(Duration::from_millis(LINGER_MS))).await;
    }

    /// The next request, and its share of the budget. `None` at the end of the stream.
    async fn next(&mut self, reader: &mut R::ReadHalf) -> Result<Option<(Message, Option<Permit>)>, End> {
        let mut permit = None;
        let (mut permit_bytes, mut began) = (0, None);
        loop {
            let need = match self.decoder.next(&mut self.buffer) {
                Ok(Next::Message(message)) => return Ok(Some((message, permit))),
                Ok(Next::Need(need)) => need,
                Err(error) => return Err(End::Refused(error.answer())),
            };
            // The args first, then all of it, as far as the head has been believed.
            let bytes = self.buffer.len() + need;
            if bytes > FREE_BYTES && bytes > permit_bytes {
                // Given back before more is asked for: nobody waits for the budget while holding part of it.
                drop(permit.take());
                permit = Some(self.worker.receive_budget.acquire(bytes).await);
                permit_bytes = bytes;
                // The time it waited for that is not the client's.
                began = None;
            }
            self.buffer.reserve(need.max(READ_BYTES));
            let rt = self.worker.rt.clone();
            if began.is_none() && !self.buffer.is_empty() {
                began = Some(rt.now());
            }
            let read = async { Some(reader.read(&mut self.buffer).await) };
            let got = match began {
                Some(began) => {
                    let late = async {
                        rt.sleep(left(began, rt.now())).await;
                        None
                    };
                    future::or(read, late).await
                }
                None => read.await,
            };
            match got {
                None => return Err(End::Refused(ErrorAnswer::new(ErrorCode::TooSlow))),
                Some(Ok(0)) => return Ok(None),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(End::Io(error)),
            }
        }
    }
}

/// What is left of the time in which a request must arrive that began at `began`.
fn left(began: MonoUs, now: MonoUs) -> Duration {
    Duration::from_micros(REQUEST_ARRIVAL_US_MAX.saturating_sub(now.since(began)))
}

/// Compares tokens in a time that does not tell how much of them agrees.
fn same(expected: &[u8], given: &[u8]) -> bool {
    expected.len() == given.len() && expected.iter().zip(given).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}
