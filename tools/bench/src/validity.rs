//! Can the figures of a run be used? The rules, with numbers and without a clock. README.md, "INVALID", says them in words.

#![forbid(unsafe_code)]

use crate::workload::Validity;

/// Making up for back-pressure may take this share of the measured time beyond the back-pressure itself.
pub const MAKING_UP_SHARE: f64 = 0.05;

/// What a generator did, all threads together; times are sums over the threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observed {
    /// Threads that sent.
    pub threads: u32,
    /// The measured time.
    pub measured_ns: u64,
    /// Records that the schedule had in the measured time.
    pub scheduled: u64,
    /// Records sent too late by the generator itself, and those it did not come to send.
    pub late: u64,
    /// Records sent too late, or not at all, because of back-pressure.
    pub held_back: u64,
    /// Time spent in back-pressure.
    pub blocked_ns: u64,
    /// Time from a back-pressure until back on schedule, the back-pressure included.
    pub making_up_ns: u64,
}

/// What follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Why the figures must not be used.
    pub invalid: Vec<String>,
    /// The server did not take the rate.
    pub saturated: bool,
}

/// Judges an open loop. A closed one has no schedule to fall behind.
#[must_use]
pub fn judge(observed: &Observed, rule: &Validity) -> Judgement {
    let mut invalid = Vec::new();
    if observed.measured_ns == 0 || observed.scheduled == 0 {
        invalid.push("nothing was measured".to_owned());
        return Judgement { invalid, saturated: false };
    }
    let share = |records: u64| records as f64 / observed.scheduled as f64;
    if share(observed.late) > rule.late_share {
        invalid.push(format!(
            "the generator fell behind its schedule: {} of {} records ({:.2} %) were sent more than {} late, {} % are allowed",
            observed.late,
            observed.scheduled,
            share(observed.late) * 100.0,
            rule.late_after,
            rule.late_share * 100.0,
        ));
    }
    let own_ns = observed.making_up_ns.saturating_sub(observed.blocked_ns);
    let all_ns = observed.measured_ns as f64 * f64::from(observed.threads.max(1));
    if own_ns > observed.blocked_ns && own_ns as f64 > MAKING_UP_SHARE * all_ns {
        invalid.push(format!(
            "the generator needed longer to make up for back-pressure ({:.3} s) than that lasted ({:.3} s)",
            own_ns as f64 / 1e9,
            observed.blocked_ns as f64 / 1e9,
        ));
    }
    Judgement { invalid, saturated: share(observed.held_back) > rule.late_share }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Observed = Observed {
        threads: 1,
        measured_ns: 10_000_000_000,
        scheduled: 10_000,
        late: 0,
        held_back: 0,
        blocked_ns: 0,
        making_up_ns: 0,
    };

    /// Goal: each rule at its edge: 1 % late is allowed and one record more is not; the server's doing is not the generator's.
    #[test]
    fn the_rules_at_their_edges() {
        let second = 1_000_000_000;
        for (observed, invalid, saturated) in [
            (FINE, false, false),
            (Observed { late: 100, ..FINE }, false, false),
            (Observed { late: 101, ..FINE }, true, false),
            (Observed { held_back: 100, ..FINE }, false, false),
            (Observed { held_back: 101, ..FINE }, false, true),
            (Observed { held_back: 9_000, late: 200, ..FINE }, true, true),
            // A second of back-pressure made up for in half of one; in exactly one; in more.
            (Observed { blocked_ns: second, making_up_ns: second * 3 / 2, ..FINE }, false, false),
            (Observed { blocked_ns: second, making_up_ns: 2 * second, ..FINE }, false, false),
            (Observed { blocked_ns: second, making_up_ns: 2 * second + 1, ..FINE }, true, false),
            // Longer than the back-pressure, and still next to nothing: 5 % of the time is allowed.
            (Observed { blocked_ns: 1_000, making_up_ns: 1_000 + second / 2, ..FINE }, false, false),
            (Observed { blocked_ns: 1_000, making_up_ns: 1_001 + second / 2, ..FINE }, true, false),
            (Observed { blocked_ns: 1_000, making_up_ns: 1_001 + second / 2, threads: 2, ..FINE }, false, false),
            (Observed { scheduled: 0, ..FINE }, true, false),
            (Observed { measured_ns: 0, ..FINE }, true, false),
        ] {
            let judgement = judge(&observed, &Validity::default());
            assert_eq!((!judgement.invalid.is_empty(), judgement.saturated), (invalid, saturated), "{observed:?}");
        }
    }
}
