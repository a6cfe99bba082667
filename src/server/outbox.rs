//! Answers on their way to one client: gathered while a write is under way, then sent with one vectored write. Frames stay
//! in the buffers they were written from or read into until the kernel has them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future;

use crate::engine::slice::Slice;
use crate::limits::{IN_FLIGHT_PER_CONNECTION_MAX, OUTBOX_BYTES_MAX, SEND_STALL_US_MAX};
use crate::protocol::{Encode, Envelope, ErrorAnswer, Opcode};
use crate::runtime::local::{Notify, Semaphore};
use crate::runtime::{Runtime, WriteHalf};
use crate::server::waiting::{PROGRESS_BYTES, Share, Turn};

/// Small answers are gathered in pieces of up to this much.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// Bytes that one write takes. Each has [`SEND_STALL_US_MAX`]: a client that reads slowly is no client that reads nothing.
const WRITE_BYTES_MAX: usize = PROGRESS_BYTES;

/// Slices that one vectored write takes.
const SLICES_MAX: usize = 512;

/// Slices of a write that need no memory of their own: an answer, or a push and what came before it.
const SLICES_FEW: usize = 4;

/// Chunks that a connection keeps room for between two writes.
const CHUNKS_KEPT: usize = 32;

/// Bulk bytes behind an answer's head.
pub enum Body<R: Runtime> {
    /// None.
    Empty,
    /// Frames as the engine handed them out.
    Frames(Vec<Slice<R::Buf>>),
    /// Frames that came from another worker.
    Copied(Bytes),
}

impl<R: Runtime> Body<R> {
    /// Bytes to be sent.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Frames(slices) => slices.iter().map(|slice| slice.len()).sum(),
            Self::Copied(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing to be sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

enum Chunk<R: Runtime> {
    Small(Vec<u8>),
    Frame(Slice<R::Buf>),
    Copied(Bytes),
}

impl<R: Runtime> Chunk<R> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Frame(slice) => slice,
            Self::Copied(bytes) => bytes,
        }
    }

    /// Memory that waits with the chunk.
    fn held(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Frame(slice) => slice.pinned_bytes(),
            Self::Copied(bytes) => bytes.len(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The last word is in: nothing is added to it, what is there is sent, and the connection stays.
    Lingering,
    /// Nothing more comes in; what is there is sent.
    Closing,
    /// Nothing more is sent.
    Dead,
}

/// Reads that one connection has under way, each of up to [`READ_BYTES_MAX`](crate::limits::READ_BYTES_MAX): together with
/// what already waits to be sent, this bounds the memory that a client can hold by not reading.
const READS_MAX: usize = 4;

/// The answers of one connection.
pub struct Outbox<R: Runtime> {
    queue: RefCell<VecDeque<Chunk<R>>>,
    /// What waits to be sent, a part of what waits on the worker.
    share: Share,
    in_flight: Cell<usize>,
    phase: Cell<Phase>,
    spare: RefCell<Vec<u8>>,
    reads: Rc<Semaphore>,
    changed: Notify,
}

impl<R: Runtime> Outbox<R> {
    /// An empty outbox, whose contents are to be `share`.
    pub fn new(share: Share) -> Rc<Self> {
        let outbox = Rc::new(Self {
            queue: RefCell::default(),
            share,
            in_flight: Cell::new(0),
            phase: Cell::new(Phase::Open),
            spare: RefCell::default(),
            reads: Semaphore::new(READS_MAX),
            changed: Notify::new(),
        });
        let me = Rc::downgrade(&outbox);
        outbox.share.on_give_up(move || {
            if let Some(outbox) = me.upgrade() {
                outbox.abandon();
            }
        });
        outbox
    }

    /// Waits until another request may be taken up: not too many are unanswered, not too much waits to be sent. Says
    /// whether the connection is still good.
    pub async fn admit(&self) -> bool {
        let admitted = || match self.phase.get() {
            Phase::Open => {
                let free = self.in_flight.get() < IN_FLIGHT_PER_CONNECTION_MAX && self.share.held() < OUTBOX_BYTES_MAX;
                free.then_some(true)
            }
            Phase::Lingering | Phase::Closing | Phase::Dead => Some(false),
        };
        let open = self.changed.until(admitted).await;
        self.in_flight.set(self.in_flight.get() + usize::from(open));
        open
    }

    /// The turn to read bulk bytes and add them: taken when not too many are being read and not too much waits to be sent.
    /// `None` if the connection is over. To be held until the bytes were added.
    pub async fn read_turn(&self, asked: u32) -> Option<Turn> {
        let permit = self.reads.acquire(1).await;
        let open = self
            .changed
            .until(|| match self.phase.get() {
                Phase::Open => (self.share.held() < OUTBOX_BYTES_MAX).then_some(true),
                Phase::Lingering | Phase::Closing | Phase::Dead => Some(false),
            })
            .await;
        open.then(|| Turn { leave: self.share.leave(asked), _permit: permit })
    }

    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        self.phase.get() != Phase::Open
    }

    /// Resolves when the connection is over.
    pub async fn over(&self) {
        self.changed.until(|| self.is_over().then_some(())).await;
    }

    /// Answers a request without a body.
    pub fn answer(&self, opcode: Opcode, correlation: u64, args: &impl Encode) {
        self.small(|out| Envelope::answer(opcode, correlation).encode(args, out));
        self.answered();
    }

    /// Answers a request with an error.
    pub fn fail(&self, opcode: u8, correlation: u64, error: &ErrorAnswer<'_>) {
        self.small(|out| Envelope::error(opcode, correlation).encode(error, out));
        self.answered();
    }

    /// Answers a request with a body.
    pub fn answer_with(&self, opcode: Opcode, correlation: u64, args: &impl Encode, body: Body<R>) {
        self.bulk(Envelope::answer(opcode, correlation), args, body);
        self.answered();
    }

    /// Sends a message that answers no request.
    pub fn push(&self, envelope: Envelope, args: &impl Encode, body: Body<R>) {
        self.bulk(envelope, args, body);
        self.changed.notify();
    }

    /// Says why the connection ends. Nothing is sent after it.
    pub fn last_word(&self, error: &ErrorAnswer<'_>) {
        self.push(Envelope::connection_error(), error, Body::Empty);
        if self.phase.get() == Phase::Open {
            self.phase.set(Phase::Lingering);
        }
        self.changed.notify();
    }

    /// Takes note that a request needs no answer.
    pub fn answered(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.changed.notify();
    }

    /// Nothing more comes in; what is there is still sent.
    pub fn close(&self) {
        if matches!(self.phase.get(), Phase::Open | Phase::Lingering) {
            self.phase.set(Phase::Closing);
        }
        self.changed.notify();
    }

    /// Waits until every request taken up is answered and `more` holds, or the connection is over. `more` is looked at
    /// again whenever something was answered or pushed.
    pub async fn settled(&self, more: impl Fn() -> bool) {
        self.changed.until(|| ((self.in_flight.get() == 0 && more()) || self.is_over()).then_some(())).await;
    }

    /// Resolves when nothing more will be sent.
    pub async fn sent(&self) {
        self.changed.until(|| (self.phase.get() == Phase::Dead).then_some(())).await;
    }

    /// Gives up what was not sent yet.
    pub fn abandon(&self) {
        self.phase.set(Phase::Dead);
        self.changed.notify();
    }

    /// Lets waiters look again: something they wait for changed elsewhere.
    pub fn look_again(&self) {
        self.changed.notify();
    }

    fn small(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        if matches!(self.phase.get(), Phase::Lingering | Phase::Dead) {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        let before = match queue.back_mut() {
            Some(Chunk::Small(bytes)) if bytes.len() < SMALL_BYTES_MAX => bytes.len(),
            _ => {
                queue.push_back(Chunk::Small(self.spare.take()));
                0
            }
        };
        if let Some(Chunk::Small(bytes)) = queue.back_mut() {
            encode(bytes);
            self.share.hold(bytes.len() - before);
        }
    }

    fn bulk(&self, envelope: Envelope, args: &impl Encode, body: Body<R>) {
        if matches!(self.phase.get(), Phase::Lingering | Phase::Dead) {
            return;
        }
        let len = u32::try_from(body.len()).expect("a read is bounded");
        self.small(|out| envelope.body(len, 0).encode(args, out));
        let mut queue = self.queue.borrow_mut();
        let mut add = |chunk: Chunk<R>| {
            self.share.hold(chunk.held());
            queue.push_back(chunk);
        };
        match body {
            Body::Empty => {}
            Body::Frames(slices) => slices.into_iter().for_each(|slice| add(Chunk::Frame(slice))),
            Body::Copied(bytes) => add(Chunk::Copied(bytes)),
        }
    }

    /// Sends what comes in until the connection is over. A client that takes nothing for too long is given up.
    pub async fn drive(&self, rt: &R, mut half: R::WriteHalf) {
        if let Err(error) = self.send_all(rt, &mut half).await {
            tracing::debug!(%error, "a connection failed while sending");
        }
        self.phase.set(Phase::Dead);
        self.queue.borrow_mut().clear();
        self.share.let_go(self.share.held());
        half.shutdown();
        self.changed.notify();
    }

    async fn send_all(&self, rt: &R, half: &mut R::WriteHalf) -> io::Result<()> {
        let mut chunks: Vec<Chunk<R>> = Vec::new();
        loop {
            let more = self
                .changed
                .until(|| match (self.queue.borrow().is_empty(), self.phase.get()) {
                    (_, Phase::Dead) => Some(false),
                    (false, _) => Some(true),
                    (true, Phase::Closing) => Some(false),
                    (true, Phase::Open | Phase::Lingering) => None,
                })
                .await;
            if !more {
                return Ok(());
            }
            {
                let mut queue = self.queue.borrow_mut();
                let count = queue.len().min(SLICES_MAX);
                chunks.extend(queue.drain(..count));
            }
            let mut pieces = chunks.iter().flat_map(|chunk| chunk.bytes().chunks(WRITE_BYTES_MAX)).peekable();
            while pieces.peek().is_some() {
                let (mut few, mut many) = ([IoSlice::new(&[]); SLICES_FEW], Vec::new());
                // At most one of each chunk: all pieces of one but its last fill a write.
                let slices = if chunks.len() <= SLICES_FEW {
                    &mut few[..]
                } else {
                    many.resize(chunks.len(), IoSlice::new(&[]));
                    &mut many[..]
                };
                let (mut count, mut bytes) = (0, 0);
                while let Some(piece) = pieces.next_if(|piece| bytes == 0 || bytes + piece.len() <= WRITE_BYTES_MAX) {
                    bytes += piece.len();
                    slices[count] = IoSlice::new(piece);
                    count += 1;
                }
                let write = half.write_all(&mut slices[..count]);
                let stall = async {
                    rt.sleep(Duration::from_micros(SEND_STALL_US_MAX)).await;
                    Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answers"))
                };
                let abandoned = async {
                    self.sent().await;
                    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection is over"))
                };
                future::or(write, future::or(stall, abandoned)).await?;
                self.share.took(bytes);
            }
            drop(pieces);
            let freed: usize = chunks.iter().map(Chunk::held).sum();
            self.share.let_go(freed);
            if let Some(Chunk::Small(bytes)) = chunks.first_mut()
                && self.spare.borrow().capacity() == 0
            {
                bytes.clear();
                *self.spare.borrow_mut() = std::mem::take(bytes);
            }
            chunks.clear();
            chunks.shrink_to(CHUNKS_KEPT);
            self.changed.notify();
        }
    }
}
