//! A session driven over a socket: one task reads, one writes, callers wait for their answers.
//!
//! Operation:
//! - Requests are appended to an outbox. The writer takes everything that is there and sends it with one vectored write;
//!   what is queued meanwhile goes with the next. Bodies are sent from where they are.
//! - Received bytes are cut into messages where they were received: records handed out later are slices of that buffer.
//! - Bounds: requests by the node's in-flight limit ([`Connection::send`] waits for a place), pushes by their credit.
//! - The connection ends when either end closes it, when the protocol is broken, when a request waits for its whole time
//!   and nothing at all arrived meanwhile, or when the last handle is dropped. Everybody who waits then learns why.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_lite::future::or;

use super::error::{Error, Result};
use super::session::{Event, NodeInfo, ProtocolError, Session, announce};
use crate::protocol::messages::{ChildShard, ReadState, Subscribe, SubscribeAnswer, SubscriptionEnd};
use crate::protocol::{Decode, Message, Operation};
use crate::runtime::local::{Fill, Notify, OneShot, Permit, Semaphore, one_shot};
use crate::runtime::{Reactor, ReadHalf, TaskClass, WriteHalf};
use crate::types::{MonoUs, Offset};

/// Full receive buffers that a connection keeps to use them again: with those being read, about what is under way at a time.
const RETIRED_MAX: usize = 4;

/// Room made for received bytes when less than [`READ_BYTES_MIN`] is left.
const READ_BYTES: usize = 128 << 10;

/// Below this much room a read is not worth its system call.
const READ_BYTES_MIN: usize = 8 << 10;

/// A node that sent nothing for less than this is not taken for dead, however short the time for an answer was.
const SILENCE_MIN: Duration = Duration::from_secs(5);

/// Parts in one vectored write: below the kernel's limit of 1,024.
const WRITE_PARTS_MAX: usize = 512;

/// A connection to a node, past its handshake. A handle, cheap to clone; the connection closes with the last one.
pub struct Connection<R: Reactor> {
    handle: Rc<Handle<R>>,
}

impl<R: Reactor> std::fmt::Debug for Connection<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("inner", &self.handle.inner).finish_non_exhaustive()
    }
}

impl<R: Reactor> Clone for Connection<R> {
    fn clone(&self) -> Self {
        Self { handle: Rc::clone(&self.handle) }
    }
}

struct Handle<R: Reactor> {
    inner: Rc<Inner<R>>,
    node: Rc<NodeInfo>,
    in_flight: Rc<Semaphore>,
}

impl<R: Reactor> Drop for Handle<R> {
    fn drop(&mut self) {
        self.inner.close(Error::Closed);
    }
}

struct Inner<R: Reactor> {
    rt: R,
    addr: SocketAddr,
    session: RefCell<Session<Waiter, Rc<PushQueue>>>,
    outbox: RefCell<Outbox>,
    /// Something to write, the handshake done, or the end.
    changed: Notify,
    opened: RefCell<Option<NodeInfo>>,
    greeted: Cell<bool>,
    closed: RefCell<Option<Error>>,
    received_at: Cell<MonoUs>,
}

impl<R: Reactor> std::fmt::Debug for Inner<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("addr", &self.addr).field("closed", &self.closed).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Waiter {
    fill: Fill<Message>,
    _place: Option<Permit>,
}

/// What is to be sent: finished parts, and the heads appended since the last body.
#[derive(Debug, Default)]
struct Outbox {
    parts: VecDeque<Bytes>,
    heads: BytesMut,
}

impl Outbox {
    fn push_body(&mut self, body: Bytes) {
        self.cut();
        self.parts.push_back(body);
    }

    fn cut(&mut self) {
        if !self.heads.is_empty() {
            self.parts.push_back(self.heads.split().freeze());
        }
    }

    fn take(&mut self) -> Option<Vec<Bytes>> {
        self.cut();
        let count = self.parts.len().min(WRITE_PARTS_MAX);
        (count > 0).then(|| self.parts.drain(..count).collect())
    }
}

/// Runs `work` for `limit` at most.
pub(super) async fn within<R: Reactor, T>(rt: &R, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    or(async { Some(work.await) }, async {
        rt.sleep(limit).await;
        None
    })
    .await
}

impl<R: Reactor> Connection<R> {
    /// Connects and greets the node. `timeout` covers both.
    pub async fn open(rt: &R, addr: SocketAddr, client: &str, token: &[u8], timeout: Duration) -> Result<Self> {
        let refused = |error| Error::Connect { addr, error: Arc::new(error) };
        let start = rt.now();
        let slow = || refused(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        let (read, write) = within(rt, timeout, rt.connect(addr)).await.ok_or_else(slow)?.map_err(refused)?;
        let mut outbox = Outbox::default();
        let inner = Rc::new(Inner {
            session: RefCell::new(Session::open(client, token, &mut outbox.heads)),
            rt: rt.clone(),
            addr,
            outbox: RefCell::new(outbox),
            changed: Notify::new(),
            opened: RefCell::default(),
            greeted: Cell::default(),
            closed: RefCell::default(),
            received_at: Cell::new(start),
        });
        rt.spawn(TaskClass::Latency, Rc::clone(&inner).read(read));
        rt.spawn(TaskClass::Latency, Rc::clone(&inner).write(write));
        let greeted = inner.changed.until(|| {
            let closed = inner.closed.borrow().clone();
            closed.map(Err).or_else(|| inner.opened.take().map(Ok))
        });
        // Dropped before the end, too, the tasks must not live on.
        let guard = CloseOnDrop(&inner);
        let left = timeout.saturating_sub(Duration::from_micros(rt.now().since(start)));
        let node = match within(rt, left, greeted).await {
            Some(Ok(node)) => node,
            // A connection that ended before the handshake was never one: nothing can have happened on it.
            Some(Err(Error::Lost(error))) => return Err(Error::Connect { addr, error }),
            Some(Err(error)) => return Err(error),
            None => return Err(slow()),
        };
        std::mem::forget(guard);
        // An eighth is kept for unsubscribes, which are sent where nobody can wait for a place.
        let places = node.limits.in_flight_max - node.limits.in_flight_max / 8;
        let in_flight = Semaphore::new(places as usize);
        Ok(Self { handle: Rc::new(Handle { inner: Rc::clone(&inner), node: Rc::new(node), in_flight }) })
    }

    /// What the node said of itself.
    #[must_use]
    pub fn node(&self) -> &Rc<NodeInfo> {
        &self.handle.node
    }

    /// The address this connection leads to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.inner().addr
    }

    /// Whether requests can no longer be sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner().closed.borrow().is_some()
    }

    /// Ends the connection. Whoever waits for an answer gets `why`.
    pub fn close(&self, why: Error) {
        self.inner().close(why);
    }

    /// Queues a request, with the records of a put behind it, once the node's in-flight limit leaves a place. It is sent
    /// after those queued before it. When this resolves the request is on its way; the answer is waited for apart.
    /// Dropping this before it resolves sends nothing.
    pub async fn send<O: Operation>(
        &self,
        operation: &O,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Pending<R>> {
        let place = self.handle.in_flight.acquire(1).await;
        let (fill, answer) = one_shot();
        let waiter = Waiter { fill, _place: Some(place) };
        self.inner().enqueue(|session, outbox| {
            let announced = body.as_ref().map(announce);
            session.request(operation, announced, waiter, &mut outbox.heads).map_err(|_| full())?;
            if let Some(body) = body.filter(|body| !body.is_empty()) {
                outbox.push_body(body);
            }
            Ok(())
        })?;
        Ok(self.pending(answer, timeout))
    }

    /// Sends a request and waits for its answer: a result or an error of the node, not yet told apart.
    pub async fn call<O: Operation>(&self, operation: &O, timeout: Duration) -> Result<Message> {
        self.send(operation, None, timeout).await?.wait().await
    }

    /// Subscribes to a shard and waits for the node's consent.
    pub async fn subscribe(
        &self,
        operation: &Subscribe,
        timeout: Duration,
    ) -> Result<(Subscription<R>, SubscribeAnswer)> {
        let place = self.handle.in_flight.acquire(1).await;
        let (fill, answer) = one_shot();
        let queue = Rc::new(PushQueue::default());
        let id = self.inner().enqueue(|session, outbox| {
            let waiter = Waiter { fill, _place: Some(place) };
            session.subscribe(operation, waiter, Rc::clone(&queue), &mut outbox.heads).map_err(|_| full())
        })?;
        // From here on dropping it unsubscribes.
        let subscription = Subscription { connection: self.clone(), id, queue };
        let message = self.pending(answer, timeout).wait().await?;
        let consent = result::<Subscribe, _>(&message, |answer| answer)?;
        Ok((subscription, consent))
    }

    fn pending(&self, answer: OneShot<Message>, timeout: Duration) -> Pending<R> {
        let deadline = self.inner().rt.now().plus(timeout.as_micros() as u64);
        Pending { connection: self.clone(), answer, timeout, deadline }
    }

    fn inner(&self) -> &Rc<Inner<R>> {
        &self.handle.inner
    }
}

/// Receive buffers that are full, whose messages somebody may still hold. Once they are let go of, the memory is received into
/// again: fresh memory costs a page fault for every four kilobytes, which is more than receiving them does.
#[derive(Debug, Default)]
struct Retired(VecDeque<BytesMut>);

impl Retired {
    /// Makes room for `bytes` more in `buffer`, which keeps what it holds.
    fn make_room(&mut self, buffer: &mut BytesMut, bytes: usize) {
        if buffer.try_reclaim(bytes) {
            return;
        }
        let total = buffer.len() + bytes;
        let free = self.0.iter_mut().position(|retired| retired.try_reclaim(total));
        let mut next = free.and_then(|at| self.0.remove(at)).unwrap_or_else(|| BytesMut::with_capacity(total));
        next.extend_from_slice(buffer);
        buffer.clear();
        self.0.push_back(std::mem::replace(buffer, next));
        if self.0.len() > RETIRED_MAX {
            self.0.pop_front();
        }
    }
}

struct CloseOnDrop<'a, R: Reactor>(&'a Rc<Inner<R>>);

impl<R: Reactor> Drop for CloseOnDrop<'_, R> {
    fn drop(&mut self) {
        self.0.close(Error::Closed);
    }
}

/// Places are counted before a request is built, so this is seen only with more subscriptions than the node allows.
fn full() -> Error {
    Error::Argument("the connection has all the unanswered requests or subscriptions that the node allows")
}

/// The result in an answer, or the node's error.
pub fn result<O: Operation, T>(message: &Message, read: impl FnOnce(O::Answer<'_>) -> T) -> Result<T> {
    match message.answer::<O>().map_err(ProtocolError::from)? {
        Ok(answer) => Ok(read(answer)),
        Err(error) => Err(Error::node(error)),
    }
}

/// An answer on its way. Dropping it gives up the answer, not the request.
pub struct Pending<R: Reactor> {
    connection: Connection<R>,
    answer: OneShot<Message>,
    timeout: Duration,
    deadline: MonoUs,
}

impl<R: Reactor> std::fmt::Debug for Pending<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl<R: Reactor> Pending<R> {
    /// Waits for the answer: once. May be dropped and called again before it resolved.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the time is over. If nothing at all arrived for that long, the connection is taken for dead
    /// and closed, so that the next one tries a new one.
    pub async fn wait(&mut self) -> Result<Message> {
        let inner = self.connection.inner();
        let left = Duration::from_micros(self.deadline.since(inner.rt.now()));
        match within(&inner.rt, left, self.answer.take()).await {
            Some(Some(message)) => Ok(message),
            Some(None) => Err(inner.why_closed()),
            None => {
                let millis = self.timeout.as_millis() as u64;
                let silence = self.timeout.max(SILENCE_MIN).as_micros() as u64;
                if inner.received_at.get().plus(silence) <= inner.rt.now() {
                    inner.close(Error::lost(io::ErrorKind::TimedOut, "the node is silent"));
                }
                Err(Error::Timeout { millis })
            }
        }
    }
}

#[derive(Debug, Default)]
struct PushQueue {
    arrived: RefCell<VecDeque<Arrived>>,
    lost: Cell<bool>,
    changed: Notify,
}

#[derive(Debug)]
enum Arrived {
    Frames(Message),
    End(Message),
}

impl PushQueue {
    fn push(&self, arrived: Arrived) {
        self.arrived.borrow_mut().push_back(arrived);
        self.changed.notify();
    }
}

/// A live subscription. Dropping it unsubscribes.
pub struct Subscription<R: Reactor> {
    connection: Connection<R>,
    id: u64,
    queue: Rc<PushQueue>,
}

impl<R: Reactor> std::fmt::Debug for Subscription<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a subscription brings.
#[derive(Debug)]
pub enum Push {
    /// Frames, not verified yet, and where the reader stands after them.
    Frames(ReadState, Bytes),
    /// Everything of a closed shard was pushed.
    EndOfShard {
        /// Its end.
        next_offset: Offset,
        /// The shards that go on with its keys.
        children: Vec<ChildShard>,
    },
}

impl<R: Reactor> Subscription<R> {
    /// The next push. Dropping it loses nothing.
    ///
    /// # Errors
    /// When the node ended the subscription with an error, or the connection was lost.
    pub async fn next(&mut self) -> Result<Push> {
        let arrived = self.queue.changed.until(|| {
            let first = self.queue.arrived.borrow_mut().pop_front();
            first.map(Some).or_else(|| self.queue.lost.get().then_some(None))
        });
        let arrived = arrived.await;
        match arrived {
            None => Err(self.connection.inner().why_closed()),
            Some(Arrived::Frames(message)) => {
                let state = ReadState::decode(&message.args).map_err(ProtocolError::from)?;
                Ok(Push::Frames(state, message.body))
            }
            Some(Arrived::End(message)) => {
                let end = SubscriptionEnd::decode(&message.args).map_err(ProtocolError::from)?;
                match end.error {
                    None => Ok(Push::EndOfShard { next_offset: end.next_offset, children: end.children }),
                    Some(error) => Err(Error::node(error)),
                }
            }
        }
    }

    /// Allows `bytes` more of pushes.
    pub fn credit(&self, bytes: u32) {
        // On a closed connection there is nothing to allow, and the next push says so.
        let _ = self.connection.inner().enqueue(|session, outbox| {
            session.credit(self.id, bytes, &mut outbox.heads);
            Ok(())
        });
    }
}

impl<R: Reactor> Drop for Subscription<R> {
    fn drop(&mut self) {
        let waiter = Waiter { fill: one_shot().0, _place: None };
        // On a closed connection, or after its end, there is nothing to unsubscribe from.
        let _ = self.connection.inner().enqueue(|session, outbox| {
            let _ = session.unsubscribe(self.id, waiter, &mut outbox.heads);
            Ok(())
        });
    }
}

impl<R: Reactor> Inner<R> {
    fn enqueue<T>(&self, add: impl FnOnce(&mut Session<Waiter, Rc<PushQueue>>, &mut Outbox) -> Result<T>) -> Result<T> {
        if let Some(error) = &*self.closed.borrow() {
            return Err(error.clone());
        }
        let added = add(&mut self.session.borrow_mut(), &mut self.outbox.borrow_mut());
        self.changed.notify();
        added
    }

    fn close(&self, why: Error) {
        if self.closed.borrow().is_some() {
            return;
        }
        tracing::debug!(addr = %self.addr, %why, "connection closed");
        *self.closed.borrow_mut() = Some(why);
        *self.outbox.borrow_mut() = Outbox::default();
        let (waiters, readers) = self.session.borrow_mut().end();
        drop(waiters);
        for reader in readers {
            reader.lost.set(true);
            reader.changed.notify();
        }
        self.changed.notify();
    }

    fn why_closed(&self) -> Error {
        let closed = self.closed.borrow();
        closed.clone().unwrap_or_else(|| Error::lost(io::ErrorKind::ConnectionAborted, "the answer was dropped"))
    }

    async fn until_closed(&self) {
        self.changed.until(|| self.closed.borrow().is_some().then_some(())).await;
    }

    async fn read(self: Rc<Self>, mut half: R::ReadHalf) {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut retired = Retired::default();
        loop {
            let need = match self.deal_with(&mut buffer) {
                Ok(need) => need,
                Err(why) => return self.close(why),
            };
            if buffer.capacity() - buffer.len() < need.max(READ_BYTES_MIN) {
                retired.make_room(&mut buffer, need.max(READ_BYTES));
            }
            let read = or(async { Some(half.read(&mut buffer).await) }, async {
                self.until_closed().await;
                None
            });
            match read.await {
                Some(Ok(0)) => {
                    return self.close(Error::lost(io::ErrorKind::UnexpectedEof, "the node closed the connection"));
                }
                Some(Ok(_)) => self.received_at.set(self.rt.now()),
                Some(Err(error)) => return self.close(Error::Lost(Arc::new(error))),
                None => return,
            }
        }
    }

    /// Hands on everything that arrived whole; says how many bytes the next message needs at least.
    fn deal_with(&self, buffer: &mut BytesMut) -> Result<usize> {
        loop {
            // The borrow ends with the statement: whoever is woken may send.
            let event = self.session.borrow_mut().receive(buffer)?;
            match event {
                Event::Need(bytes) => return Ok(bytes),
                Event::Opened(node) => {
                    *self.opened.borrow_mut() = Some(node);
                    self.greeted.set(true);
                    self.changed.notify();
                }
                Event::Answer(waiter, message) => waiter.fill.fill(message),
                Event::Push(queue, message) => queue.push(Arrived::Frames(message)),
                Event::PushEnd(queue, message) => queue.push(Arrived::End(message)),
                // To a handshake it is the answer. Later, what was unanswered may have happened, whatever the class says.
                Event::Closing(error) if !self.greeted.get() => return Err(Error::node(error)),
                Event::Closing(error) => return Err(Error::Lost(Arc::new(io::Error::other(error)))),
            }
        }
    }

    async fn write(self: Rc<Self>, mut half: R::WriteHalf) {
        loop {
            let parts = self.changed.until(|| match self.closed.borrow().is_some() {
                true => Some(None),
                false => self.outbox.borrow_mut().take().map(Some),
            });
            let Some(parts) = parts.await else { break };
            let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let written = or(half.write_all(&mut slices), async {
                self.until_closed().await;
                Err(io::ErrorKind::ConnectionAborted.into())
            });
            if let Err(error) = written.await {
                self.close(Error::Lost(Arc::new(error)));
                break;
            }
        }
        half.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: memory is received into again as soon as nobody holds what is in it, and never before; what has arrived of a
    /// message stays in front.
    #[test]
    fn buffers_are_used_again() {
        let mut retired = Retired::default();
        let mut buffer = BytesMut::with_capacity(1_000);
        let fill = |buffer: &mut BytesMut, with: u8| {
            buffer.resize(buffer.capacity(), with);
            // All but the last ten bytes are a message.
            buffer.split_to(buffer.len() - 10).freeze()
        };
        let place = |buffer: &BytesMut| buffer.as_ptr().addr();
        let first = fill(&mut buffer, 1);
        let first_place = first.as_ptr().addr();
        retired.make_room(&mut buffer, 900);
        assert_ne!(place(&buffer), first_place, "somebody holds the first message");
        assert_eq!(buffer[..], [1; 10]);
        let second = fill(&mut buffer, 2);
        drop(first);
        retired.make_room(&mut buffer, 900);
        assert_eq!(place(&buffer), first_place);
        assert_eq!(buffer[..], [2; 10]);
        assert_eq!(second[10..], [2; 890]);
        // Nobody holds anything of this one: it is used again where it is.
        drop(fill(&mut buffer, 3));
        retired.make_room(&mut buffer, 900);
        assert_eq!(place(&buffer), first_place);
        assert_eq!(buffer[..], [3; 10]);
    }

    /// Goal: what a slow reader holds is not kept here as well.
    #[test]
    fn few_are_kept() {
        let mut retired = Retired::default();
        let mut buffer = BytesMut::with_capacity(100);
        let held: Vec<_> = (0..20)
            .map(|_| {
                buffer.resize(buffer.capacity(), 0);
                let message = buffer.split().freeze();
                retired.make_room(&mut buffer, 100);
                message
            })
            .collect();
        assert_eq!((held.len(), retired.0.len()), (20, RETIRED_MAX));
    }
}
