//! What happened, as a rolling hash over every event and the text of the last few. Two runs of one seed must agree in
//! both; where they first differ, nondeterminism has entered.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::HostId;
use super::prng::mix;

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Virtual time in microseconds.
    pub(crate) at_us: u64,
    /// Whose event it is; `None` for the simulator's own.
    pub(crate) host: Option<HostId>,
    /// What happened.
    pub(crate) what: &'static str,
    /// Two numbers that belong to it (position and length, task, connection and bytes, ...).
    pub(crate) numbers: [u64; 2],
    /// A path or an address, if it has one.
    pub(crate) text: Option<Rc<str>>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} us ", self.at_us)?;
        match self.host {
            Some(host) => write!(f, "host {} ", host.0)?,
            None => write!(f, "sim    ")?,
        }
        write!(f, "{} {} {}", self.what, self.numbers[0], self.numbers[1])?;
        match &self.text {
            Some(text) => write!(f, " {text}"),
            None => Ok(()),
        }
    }
}

/// Hash and tail of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    count: u64,
    tail: VecDeque<Event>,
    tail_max: usize,
}

impl Trace {
    /// Nothing has happened yet. Keeps the last `tail_max` events.
    pub(crate) fn new(seed: u64, tail_max: usize) -> Self {
        Self { hash: mix(seed), count: 0, tail: VecDeque::new(), tail_max }
    }

    /// Adds an event.
    pub(crate) fn add(&mut self, event: Event) {
        let mut hash = self.hash;
        let host = event.host.map_or(u64::MAX, |host| u64::from(host.0));
        for word in [event.at_us, host, event.numbers[0], event.numbers[1], text_hash(event.what)] {
            hash = mix(hash ^ word);
        }
        if let Some(text) = &event.text {
            hash = mix(hash ^ text_hash(text));
        }
        self.hash = hash;
        self.count += 1;
        if self.tail_max > 0 {
            if self.tail.len() == self.tail_max {
                self.tail.pop_front();
            }
            self.tail.push_back(event);
        }
    }

    /// The hash over all events so far.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The last events, oldest first, one line each.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.iter().map(Event::to_string).collect()
    }
}

fn text_hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: &'static str, number: u64) -> Event {
        Event { at_us: 5, host: Some(HostId(1)), what, numbers: [number, 0], text: Some("/a".into()) }
    }

    /// Goal: order and every field count in the hash; the tail is bounded and holds the newest.
    #[test]
    fn hash_and_tail() {
        let run = |events: &[Event]| {
            let mut trace = Trace::new(1, 2);
            events.iter().for_each(|event| trace.add(event.clone()));
            trace
        };
        let base = run(&[event("a", 1), event("b", 1)]);
        assert_eq!(base.hash(), run(&[event("a", 1), event("b", 1)]).hash());
        assert_ne!(base.hash(), run(&[event("b", 1), event("a", 1)]).hash());
        assert_ne!(base.hash(), run(&[event("a", 2), event("b", 1)]).hash());
        let other = Event { text: Some("/b".into()), ..event("b", 1) };
        assert_ne!(base.hash(), run(&[event("a", 1), other]).hash());
        let three = run(&[event("a", 1), event("b", 1), event("c", 9)]);
        assert_eq!((three.count(), three.tail().len()), (3, 2));
        assert_eq!(three.tail()[1], "           5 us host 1 c 9 0 /a");
    }
}
