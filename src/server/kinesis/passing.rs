//! Passing statuses, for tests of clients: streams and consumers that show as being created, updated or deleted for a while,
//! although all of that is done in an instant here.
//!
//! What is being created is told from the catalogue's times. The rest is noted by every worker as a command comes into force
//! there, which is before whoever asked for it is answered; it does not survive a restart. With a delay of 0 nothing is
//! noted, and the status is the catalogue's.
//!
//! Bounded: one note per stream and consumer that was changed within the delay.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::catalog::{Catalog, Command, Consumer, SettingsChange, Status, Stream};
use crate::types::{StreamId, WallUs};

/// Something until a moment.
#[derive(Debug)]
struct Until<T> {
    what: T,
    until: WallUs,
}

/// By stream and name.
type Deregistered = BTreeMap<(StreamId, String), Until<Rc<Consumer>>>;

/// The statuses that are not the catalogue's.
#[derive(Debug)]
pub struct Passing {
    delay_us: u64,
    updated: RefCell<BTreeMap<StreamId, WallUs>>,
    deleted: RefCell<BTreeMap<String, Until<Rc<Stream>>>>,
    deregistered: RefCell<Deregistered>,
}

impl Passing {
    /// Nothing passes yet.
    pub fn new(delay_ms: u64) -> Self {
        Self {
            delay_us: delay_ms.saturating_mul(1_000),
            updated: RefCell::default(),
            deleted: RefCell::default(),
            deregistered: RefCell::default(),
        }
    }

    /// Whether there is anything to it.
    pub const fn is_on(&self) -> bool {
        self.delay_us > 0
    }

    /// A command is about to come into force on this worker.
    pub fn saw(&self, command: &Command, catalog: &Catalog, now: WallUs) {
        if !self.is_on() {
            return;
        }
        let until = WallUs(now.0.saturating_add(self.delay_us));
        match command {
            Command::UpdateStream { stream, change, .. } if takes_time(change) => self.touch(*stream, now, until),
            Command::SetEncryption { stream, .. }
            | Command::SetMonitoring { stream, .. }
            | Command::FinishReshard { stream, .. } => self.touch(*stream, now, until),
            Command::DeleteStream { stream, .. } => {
                if let Some(stream) = catalog.stream(*stream) {
                    let mut deleted = self.deleted.borrow_mut();
                    deleted.retain(|_, gone| gone.until > now);
                    deleted.insert(stream.name.clone(), Until { what: Rc::new(stream.clone()), until });
                }
            }
            Command::DeregisterConsumer { stream, consumer } => {
                if let Some(consumer) = catalog.stream(*stream).and_then(|stream| stream.consumer(*consumer)) {
                    let mut gone = self.deregistered.borrow_mut();
                    gone.retain(|_, gone| gone.until > now);
                    let consumer = Rc::new(consumer.clone());
                    gone.insert((*stream, consumer.name.clone()), Until { what: consumer, until });
                }
            }
            _ => {}
        }
    }

    fn touch(&self, stream: StreamId, now: WallUs, until: WallUs) {
        let mut updated = self.updated.borrow_mut();
        updated.retain(|_, until| *until > now);
        updated.insert(stream, until);
    }

    /// The status that a stream of the catalogue shows.
    pub fn status(&self, stream: &Stream, now: WallUs) -> Status {
        if !self.is_on() || stream.status != Status::Active {
            return stream.status;
        }
        if self.is_fresh(stream.created, now) {
            return Status::Creating;
        }
        match self.updated.borrow().get(&stream.id) {
            Some(until) if *until > now => Status::Updating,
            _ => Status::Active,
        }
    }

    /// Whether what was created then shows as being created.
    pub fn is_fresh(&self, created: WallUs, now: WallUs) -> bool {
        self.is_on() && now.0 < created.0.saturating_add(self.delay_us)
    }

    /// The stream that had this name, while it shows as being deleted.
    pub fn deleted(&self, name: &str, now: WallUs) -> Option<Rc<Stream>> {
        if !self.is_on() {
            return None;
        }
        self.deleted.borrow().get(name).filter(|gone| gone.until > now).map(|gone| Rc::clone(&gone.what))
    }

    /// All streams that show as being deleted, by name.
    pub fn all_deleted(&self, now: WallUs) -> Vec<Rc<Stream>> {
        let deleted = self.deleted.borrow();
        deleted.values().filter(|gone| gone.until > now).map(|gone| Rc::clone(&gone.what)).collect()
    }

    /// The consumer that had this name, while it shows as being deleted.
    pub fn deregistered(&self, stream: StreamId, name: &str, now: WallUs) -> Option<Rc<Consumer>> {
        if !self.is_on() {
            return None;
        }
        let gone = self.deregistered.borrow();
        gone.get(&(stream, name.to_owned())).filter(|gone| gone.until > now).map(|gone| Rc::clone(&gone.what))
    }

    /// The consumers of a stream that show as being deleted, by name.
    pub fn all_deregistered(&self, stream: StreamId, now: WallUs) -> Vec<Rc<Consumer>> {
        let gone = self.deregistered.borrow();
        let of_stream = gone.range((stream, String::new())..).take_while(|((of, _), _)| *of == stream);
        of_stream.filter(|(_, gone)| gone.until > now).map(|(_, gone)| Rc::clone(&gone.what)).collect()
    }
}

/// Whether a change of settings takes the real service its time. Another distribution of records is in force at once.
fn takes_time(change: &SettingsChange) -> bool {
    !SettingsChange { distribution: None, ..*change }.is_empty()
}
