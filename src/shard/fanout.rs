//! Who has the pipe: of a registered consumer, one subscription at a time gets a shard's records pushed.
//!
//! ```text
//! legend: the holder subscribed last and has not ended; granted = the time since anybody subscribed successfully
//!         AWS = by the rules of SubscribeToShard; native = over the native protocol
//!
//! asked by  granted     holder    verdict
//! AWS       never       nobody    granted
//! AWS       under 5 s   nobody    in use      as AWS has it: within 5 s of a success, whatever became of that
//! AWS       under 5 s   any       in use
//! AWS       5 s ago     nobody    granted
//! AWS       5 s ago     any       granted, takes over
//! native    any time    nobody    granted
//! native    any time    any       granted, takes over
//! ```
//! Whoever is taken over is told so by the caller, which has the ticket of the subscription to end; AWS clients then get a
//! ResourceInUseException as the last event. A holder that ends later than that changes nothing: its ticket is not the
//! current one. A clock that jumps back makes the 5 s last at most until it is where it was.

use thiserror::Error;

use crate::types::MonoUs;

/// A subscription by the rules of AWS is refused for this long after the last success.
pub const TAKE_OVER_AFTER_US: u64 = 5_000_000;

/// By whose rules a subscription is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// SubscribeToShard: keeps 5 s of distance.
    Aws,
    /// The native protocol: a consumer knows itself when it connects again, and need not wait.
    Native,
}

/// One successful subscription of a pipe. Never the same twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// Its number: greater with each subscription of a pipe.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A pipe was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Of the new holder, who gives it back to [`Pipe::end`].
    pub ticket: Ticket,
    /// Of the subscription that ends by this.
    pub taken_over: Option<Ticket>,
}

/// The pipe was handed out a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the consumer subscribed to this shard less than 5 s ago; try again in {retry_after_us} us")]
pub struct InUse {
    /// The same attempt this much later succeeds, unless others come before it.
    pub retry_after_us: u64,
}

/// The pipe of one consumer and shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pipe {
    holder: Option<Ticket>,
    granted_at: Option<MonoUs>,
    tickets: u64,
}

impl Pipe {
    /// A pipe that nobody ever had.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A pipe that nobody has, whose tickets begin after this number: so that none of them is one of a pipe of the same
    /// consumer and shard that is gone.
    #[must_use]
    pub fn after(tickets: u64) -> Self {
        Self { tickets, ..Self::default() }
    }

    /// Somebody subscribes, see the table.
    pub fn subscribe(&mut self, now: MonoUs, manner: Manner) -> Result<Granted, InUse> {
        if manner == Manner::Aws {
            let retry_after_us = self.closed_for_us(now);
            if retry_after_us > 0 {
                return Err(InUse { retry_after_us });
            }
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.granted_at = Some(now);
        Ok(Granted { ticket, taken_over: self.holder.replace(ticket) })
    }

    /// A subscription has ended by itself. Nothing happens if it was taken over before.
    pub fn end(&mut self, ticket: Ticket) {
        if self.holder == Some(ticket) {
            self.holder = None;
        }
    }

    /// Who has it.
    #[must_use]
    pub const fn holder(&self) -> Option<Ticket> {
        self.holder
    }

    /// True if a new pipe would behave the same from now on, but for the tickets: it need not be remembered.
    #[must_use]
    pub fn is_forgettable(&self, now: MonoUs) -> bool {
        self.holder.is_none() && self.closed_for_us(now) == 0
    }

    /// Microseconds until AWS clients may subscribe.
    fn closed_for_us(&self, now: MonoUs) -> u64 {
        let open_at = |at: MonoUs| MonoUs(at.0.saturating_add(TAKE_OVER_AFTER_US));
        self.granted_at.map_or(0, |at| open_at(at).since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::Manner::{Aws, Native};
    use super::*;

    /// Goal: every row of the table, at its edges in time, after a success of either kind.
    #[test]
    fn every_row_of_the_table() {
        const AT: u64 = 1_000_000_000;
        // (asked by, time since granted, is somebody holding, refused for)
        let table = [
            (Aws, None, false, 0),
            (Aws, Some(0), false, 5_000_000),
            (Aws, Some(4_999_999), false, 1),
            (Aws, Some(0), true, 5_000_000),
            (Aws, Some(4_999_999), true, 1),
            (Aws, Some(5_000_000), false, 0),
            (Aws, Some(5_000_000), true, 0),
            (Aws, Some(300_000_000), true, 0),
            (Native, None, false, 0),
            (Native, Some(0), false, 0),
            (Native, Some(5_000_000), false, 0),
            (Native, Some(0), true, 0),
            (Native, Some(4_999_999), true, 0),
            (Native, Some(5_000_000), true, 0),
        ];
        for (manner, since, is_held, refused_us) in table {
            for before in [Aws, Native] {
                let row = format!("{manner:?} {since:?} {is_held} after {before:?}");
                let mut pipe = Pipe::new();
                let first = since.map(|_| pipe.subscribe(MonoUs(AT), before).unwrap().ticket);
                if let Some(first) = first
                    && !is_held
                {
                    pipe.end(first);
                }
                let held = pipe.holder();
                assert_eq!(held.is_some(), is_held, "{row}");
                let result = pipe.subscribe(MonoUs(AT + since.unwrap_or(0)), manner);
                if refused_us > 0 {
                    assert_eq!(result, Err(InUse { retry_after_us: refused_us }), "{row}");
                    assert_eq!(pipe.holder(), held, "{row}: a refusal changes nothing");
                } else {
                    let granted = result.unwrap();
                    assert_eq!(granted.taken_over, held, "{row}");
                    assert_eq!(pipe.holder(), Some(granted.ticket), "{row}");
                    assert_ne!(first, Some(granted.ticket), "{row}");
                }
            }
        }
    }

    /// Goal: a refusal does not start the 5 s anew: who tries each second is let in when the first wait is over.
    #[test]
    fn a_refusal_does_not_prolong() {
        let mut pipe = Pipe::new();
        pipe.subscribe(MonoUs(0), Aws).unwrap();
        for second in 1..5 {
            assert_eq!(
                pipe.subscribe(MonoUs(second * 1_000_000), Aws).unwrap_err().retry_after_us,
                (5 - second) * 1_000_000
            );
        }
        assert!(pipe.subscribe(MonoUs(5_000_000), Aws).is_ok());
    }

    /// Goal: the late end of a subscription that was taken over does not end the one that took over.
    #[test]
    fn a_late_end_is_nobodys() {
        let mut pipe = Pipe::new();
        let old = pipe.subscribe(MonoUs(0), Native).unwrap().ticket;
        let new = pipe.subscribe(MonoUs(1), Native).unwrap();
        assert_eq!(new.taken_over, Some(old));
        pipe.end(old);
        assert_eq!(pipe.holder(), Some(new.ticket));
        pipe.end(new.ticket);
        assert_eq!(pipe.holder(), None);
    }

    /// Goal: a pipe is forgotten only when a new one would answer the same.
    #[test]
    fn what_may_be_forgotten() {
        let mut pipe = Pipe::new();
        assert!(pipe.is_forgettable(MonoUs(0)));
        let ticket = pipe.subscribe(MonoUs(0), Aws).unwrap().ticket;
        assert!(!pipe.is_forgettable(MonoUs(60_000_000)), "somebody has it");
        pipe.end(ticket);
        assert!(!pipe.is_forgettable(MonoUs(4_999_999)), "AWS clients are still refused");
        assert!(pipe.is_forgettable(MonoUs(5_000_000)));
    }
}
