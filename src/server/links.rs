//! Links between workers: requests and replies over one mailbox in each direction, every queue bounded.
//!
//! A worker has at most `REQUESTS_MAX` quick requests, `WAITS_MAX` long polls and [`FORWARD_BYTES_MAX`] bytes under way
//! at another. Replies need no bound of their own: there are never more of them than requests.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::limits::FORWARD_BYTES_MAX;
use crate::runtime::local::{Fill, Notify, OneShot, Permit, Semaphore, one_shot};
use crate::runtime::{ConnectedSender, Runtime, TaskClass};
use crate::server::failure::Failure;
use crate::server::mail::{Answer, Mail, Op};
use crate::types::WorkerId;

/// Requests under way that are answered as soon as they are done.
const REQUESTS_MAX: usize = 1024;

/// Requests under way that may wait for records.
const WAITS_MAX: usize = 16_384;

/// The way to one other worker.
pub struct Link {
    to: WorkerId,
    queue: RefCell<VecDeque<Mail>>,
    wake: Notify,
    next_id: Cell<u64>,
    pending: RefCell<BTreeMap<u64, Pending>>,
    requests: Rc<Semaphore>,
    waits: Rc<Semaphore>,
    bytes: Rc<Semaphore>,
    closed: Cell<bool>,
    ended: Cell<bool>,
}

/// A request that is not answered yet.
struct Pending {
    fill: Fill<Answer>,
    /// Given back with the answer.
    _room: Option<Room>,
}

/// Room for one request. Handed over with it and given back when the other worker has answered, whatever the asker does
/// meanwhile: nobody can hold room and wait for more, and one who goes away leaves no work behind that is not counted.
pub struct Room {
    _slot: Permit,
    _bytes: Option<Permit>,
}

impl Link {
    /// A link to worker `to`; nothing is sent before [`Link::run`].
    pub fn new(to: WorkerId) -> Rc<Self> {
        Rc::new(Self {
            to,
            queue: RefCell::default(),
            wake: Notify::new(),
            next_id: Cell::new(1),
            pending: RefCell::default(),
            requests: Semaphore::new(REQUESTS_MAX),
            waits: Semaphore::new(WAITS_MAX),
            bytes: Semaphore::new(FORWARD_BYTES_MAX),
            closed: Cell::new(false),
            ended: Cell::new(false),
        })
    }

    /// Sends what is queued until the other side is gone or the link was closed and everything is sent.
    pub fn run<R: Runtime>(self: &Rc<Self>, rt: &R, sender: impl ConnectedSender<Mail>) {
        let link = Rc::clone(self);
        rt.spawn(TaskClass::Latency, async move {
            loop {
                let next = link
                    .wake
                    .until(|| match link.queue.borrow_mut().pop_front() {
                        Some(mail) => Some(Some(mail)),
                        None if link.closed.get() => Some(None),
                        None => None,
                    })
                    .await;
                let Some(mail) = next else { break };
                if sender.send(mail).await.is_err() {
                    break;
                }
            }
            link.close();
            link.ended.set(true);
            link.wake.notify();
        });
    }

    /// Resolves when nothing more will be sent.
    pub async fn ended(&self) {
        self.wake.until(|| self.ended.get().then_some(())).await;
    }

    /// Queues a message that needs no room: boot, start, replies.
    pub fn post(&self, mail: Mail) {
        self.queue.borrow_mut().push_back(mail);
        self.wake.notify();
    }

    /// Room for a request that carries `bytes` and, if `waits`, may take long.
    pub async fn room(&self, bytes: usize, waits: bool) -> Room {
        let slots = if waits { &self.waits } else { &self.requests };
        let slot = slots.acquire(1).await;
        let bytes = match bytes {
            0 => None,
            bytes => Some(self.bytes.acquire(bytes).await),
        };
        Room { _slot: slot, _bytes: bytes }
    }

    /// Sends a request with its room; requests of one link arrive in the order of these calls. Commands in force need no
    /// room: the right to change the catalogue bounds them.
    pub fn send(&self, op: Op, room: Option<Room>) -> OneShot<Answer> {
        let (fill, answer) = one_shot();
        if !self.closed.get() {
            let id = self.next_id.get();
            self.next_id.set(id + 1);
            self.pending.borrow_mut().insert(id, Pending { fill, _room: room });
            self.post(Mail::Request { id, op });
        }
        answer
    }

    /// Sends a request as soon as there is room, and waits for its answer.
    pub async fn call(&self, op: Op) -> Result<Answer, Failure> {
        let (bytes, waits) = match &op {
            Op::Put { body, .. } => (body.len(), false),
            Op::Get { bytes_max, .. } => (*bytes_max as usize, false),
            Op::Position { .. }
            | Op::TakePipe(_)
            | Op::LeavePipe(_)
            | Op::Stats(_)
            | Op::Traffic(_)
            | Op::Unseal(_)
            | Op::Quarantine(_)
            | Op::Apply(_) => (0, false),
            // These wait for records, for the disk, or for other changes.
            Op::Wait { .. }
            | Op::Make(_)
            | Op::Watch { .. }
            | Op::Seal(_)
            | Op::HandOver(_)
            | Op::TakeBack(_)
            | Op::Free(_)
            | Op::Admin(_) => (0, true),
        };
        let room = self.room(bytes, waits).await;
        self.send(op, Some(room)).wait().await.ok_or(Failure::WorkerGone(self.to))
    }

    /// Hands an answer to whoever waits for it.
    pub fn answered(&self, id: u64, answer: Answer) {
        let pending = self.pending.borrow_mut().remove(&id);
        if let Some(Pending { fill, _room }) = pending {
            fill.fill(answer);
        }
    }

    /// Ends the link: what is queued is still sent, who waits learns that the worker is gone.
    pub fn close(&self) {
        self.closed.set(true);
        drop(std::mem::take(&mut *self.pending.borrow_mut()));
        self.wake.notify();
    }
}
