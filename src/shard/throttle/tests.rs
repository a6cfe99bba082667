use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Far from 0, as clocks are.
const T0: u64 = 1 << 40;

fn at(us: u64) -> MonoUs {
    MonoUs(T0 + us)
}

fn writer() -> WriteLimiter {
    WriteLimiter::new(&Rates::AWS, at(0))
}

fn retry_after(result: Result<(), Throttled>) -> u64 {
    result.map_or_else(|refusal| refusal.retry_after_us, |()| 0)
}

/// Goal: the limits of AWS on writing as a table: attempts at even distances, and how many of them are refused.
#[test]
fn writes_under_aws_limits() {
    // (records each, bytes each with key, attempts a second, seconds, refused)
    let table = [
        // What a second allows is saved up at the start: for one second twice the rate passes but for the last record.
        (1, 1, 1_000, 10, 0),
        (1, 1, 2_000, 1, 1),
        (1, 1, 2_000, 10, 9_001),
        // 1,000 a second of 1 KiB are within both limits; of 2 KiB, 512 a second and 512 saved up pass.
        (1, KIB, 1_000, 10, 0),
        (1, 2 * KIB, 1_000, 10, 10_000 - 11 * 512 + 1),
        // Batches: all or nothing.
        (500, 500 * 100, 2, 10, 0),
        (500, 500 * 100, 4, 10, 40 - 22 + 1),
        // A record as large as a second's allowance passes once a second.
        (1, MIB, 1, 10, 0),
        (1, MIB, 2, 10, 10),
        // One of 10 MiB passes at once and then every 10 s.
        (1, 10 * MIB, 1, 30, 27),
        // Nothing but frames without records: nobody asks for more than nothing.
        (0, 0, 1_000, 10, 0),
    ];
    for (records, bytes, attempts_s, seconds, refused) in table {
        let mut limiter = writer();
        let attempts = (0..attempts_s * seconds).map(|n| n * SECOND / attempts_s);
        let count = attempts.filter(|us| limiter.put(at(*us), records, bytes).is_err()).count();
        assert_eq!(count as u64, refused, "{records} records, {bytes} bytes, {attempts_s}/s for {seconds} s");
    }
}

/// Goal: within one moment, a second's records or bytes pass and the next one is refused for as long as it takes to earn it.
#[test]
fn a_burst_of_one_second() {
    let mut limiter = writer();
    for n in 0..1_000 {
        assert_eq!(limiter.put(at(0), 1, 1), Ok(()), "record {n}");
    }
    assert_eq!(retry_after(limiter.put(at(0), 1, 1)), 1_000);
    assert_eq!(limiter.put(at(999), 1, 1).map_err(|refusal| refusal.retry_after_us), Err(1));
    assert_eq!(limiter.put(at(1_000), 1, 1), Ok(()));

    let mut limiter = writer();
    assert_eq!(limiter.put(at(0), 1, MIB - 100), Ok(()));
    assert_eq!(limiter.put(at(0), 1, 100), Ok(()));
    // One byte takes 1,000,000 / 1,048,576 us.
    assert_eq!(retry_after(limiter.put(at(0), 1, 1)), 1);
}

/// Goal: what is refused costs nothing, neither records nor bytes: the other bucket stays as it was.
#[test]
fn a_refusal_is_free() {
    let mut limiter = writer();
    limiter.put(at(0), 1, MIB).unwrap();
    for _ in 0..5_000 {
        assert!(limiter.put(at(0), 1, MIB).is_err());
    }
    // 999 records are left; the bytes come back within a second.
    assert_eq!(limiter.put(at(SECOND), 1_000, 1_000), Ok(()));
}

/// Goal: a record of 10 MiB waits for a full bucket, passes, and keeps all others out until its debt is paid.
#[test]
fn a_record_larger_than_the_allowance() {
    let mut limiter = writer();
    limiter.put(at(0), 1, MIB / 2).unwrap();
    assert_eq!(retry_after(limiter.put(at(0), 1, 10 * MIB)), SECOND / 2);
    assert_eq!(limiter.put(at(SECOND / 2), 1, 10 * MIB), Ok(()));
    let paid = SECOND / 2 + 9 * SECOND;
    assert_eq!(retry_after(limiter.put(at(SECOND / 2), 1, 1)), 9 * SECOND + 1);
    assert!(limiter.put(at(paid), 1, 1).is_err());
    assert_eq!(limiter.put(at(paid + 1), 1, 1), Ok(()));
    assert_eq!(limiter.put(at(paid + SECOND + 1), 1, 10 * MIB), Ok(()));
}

/// Goal: five calls a second and the sixth is refused for 200 ms; a refused one costs nothing.
#[test]
fn read_calls() {
    let mut limiter = ReadLimiter::new(&Rates::AWS, at(0));
    for _ in 0..5 {
        assert_eq!(limiter.call(at(0)), Ok(()));
    }
    for _ in 0..100 {
        assert_eq!(retry_after(limiter.call(at(0))), SECOND / 5);
    }
    assert!(limiter.call(at(SECOND / 5 - 1)).is_err());
    assert_eq!(limiter.call(at(SECOND / 5)), Ok(()));
    // For ten seconds every 100 ms: half of them, and what was left of the burst.
    let mut limiter = ReadLimiter::new(&Rates::AWS, at(0));
    let refused = (0..100).filter(|n| limiter.call(at(n * SECOND / 10)).is_err()).count();
    assert_eq!(refused, 100 - 54);
}

/// Goal: reads within the allowance never wait for bytes; a read of 10 MiB closes the shard for exactly 5 s, saved up or not.
#[test]
fn bytes_read_leave_debt() {
    // (bytes read at once, then refused for this long)
    let table =
        [(0, 0), (MIB, 0), (2 * MIB, 0), (3 * MIB, 3 * SECOND / 2), (5 * MIB, 5 * SECOND / 2), (10 * MIB, 5 * SECOND)];
    for (bytes, wait_us) in table {
        let mut limiter = ReadLimiter::new(&Rates::AWS, at(0));
        limiter.call(at(0)).unwrap();
        limiter.took(at(0), bytes);
        assert_eq!(retry_after(limiter.call(at(0))), wait_us, "{bytes}");
        if wait_us > 0 {
            assert_eq!(retry_after(limiter.call(at(wait_us - 1))), 1, "{bytes}");
            assert_eq!(limiter.call(at(wait_us)), Ok(()), "{bytes}");
            limiter.took(at(wait_us), bytes);
            assert_eq!(retry_after(limiter.call(at(wait_us))), wait_us, "{bytes} once more");
        }
    }
    // A reader that takes 400 KiB five times a second reads 2,000 KiB/s and is never refused.
    let mut limiter = ReadLimiter::new(&Rates::AWS, at(0));
    for n in 0..100 {
        assert_eq!(limiter.call(at(n * SECOND / 5)), Ok(()));
        limiter.took(at(n * SECOND / 5), 400 * KIB);
    }
}

/// Goal: a consumer gets its rate to the byte in the long run, a second's burst first, in portions worth sending.
#[test]
fn a_push_is_paced() {
    let mut limiter = FanoutLimiter::new(&Rates::AWS, at(0));
    let (mut now, mut pushed) = (0, 0);
    while now < 100 * SECOND {
        match limiter.pace(at(now)) {
            Pace::Now { bytes } => {
                assert!(bytes >= 2 * MIB / 10);
                let frame = bytes.min(300 * KIB);
                limiter.took(at(now), frame);
                pushed += frame;
            }
            Pace::Later { after_us } => {
                assert!(after_us > 0 && after_us <= SECOND);
                now += after_us;
            }
        }
        assert!(pushed <= 2 * MIB + 2 * MIB * now / SECOND + 1);
    }
    assert!(pushed >= 2 * MIB * 100, "{pushed}");

    // A frame beyond the portion goes out whole, and the next waits for its debt.
    let mut limiter = FanoutLimiter::new(&Rates::AWS, at(0));
    assert_eq!(limiter.pace(at(0)), Pace::Now { bytes: 2 * MIB });
    limiter.took(at(0), 10 * MIB);
    assert_eq!(limiter.pace(at(0)), Pace::Later { after_us: 4 * SECOND + SECOND / 10 });
}

/// Goal: without limits everything passes at any time; absurd rates and sizes break nothing.
#[test]
fn unlimited_and_absurd() {
    let mut writer = WriteLimiter::new(&Rates::NONE, at(0));
    let mut reader = ReadLimiter::new(&Rates::NONE, at(0));
    let mut fanout = FanoutLimiter::new(&Rates::NONE, at(0));
    for n in 0..100 {
        assert_eq!(writer.put(at(n), u64::MAX, u64::MAX), Ok(()));
        assert_eq!(reader.call(at(n)), Ok(()));
        reader.took(at(n), u64::MAX);
        assert_eq!(fanout.pace(at(n)), Pace::Now { bytes: u64::MAX });
        fanout.took(at(n), u64::MAX);
    }
    let huge = Rates { write_records_s: u64::MAX, write_bytes_s: u64::MAX, ..Rates::AWS };
    let mut writer = WriteLimiter::new(&huge, MonoUs(0));
    assert_eq!(writer.put(MonoUs(0), u64::MAX, 1), Ok(()));
    let wait = retry_after(writer.put(MonoUs(0), 1, 1));
    assert!(wait > 0);
    assert!(writer.put(MonoUs(u64::MAX), 1, 1).is_ok());
}

/// Goal: a clock that jumps ahead gives one full bucket and no more; one that jumps back neither gives nor locks out.
#[test]
fn a_clock_that_jumps() {
    let mut limiter = writer();
    limiter.put(at(0), 1_000, 1).unwrap();
    assert_eq!(limiter.put(at(1_000_000 * SECOND), 1_000, 1), Ok(()));
    assert!(limiter.put(at(1_000_000 * SECOND), 1, 1).is_err());

    // Back to the start: empty, and earning again.
    assert_eq!(retry_after(limiter.put(at(0), 1, 1)), 1_000);
    assert_eq!(limiter.put(at(1_000), 1, 1), Ok(()));
    assert_eq!(limiter.put(MonoUs(0), 1, 1).map_err(|refusal| refusal.retry_after_us), Err(1_000));
}

/// Goal: other rates take hold at once and keep the level: neither a gift nor a fine for those who change them often.
#[test]
fn rates_change_online() {
    let mut limiter = writer();
    limiter.put(at(0), 600, 1).unwrap();
    let doubled = Rates { write_records_s: 2_000, ..Rates::AWS };
    limiter.set(&doubled, at(0));
    assert_eq!(retry_after(limiter.put(at(0), 401, 1)), 500, "400 are left, one more takes half a millisecond now");
    assert_eq!(limiter.put(at(0), 400, 1), Ok(()));
    limiter.set(&Rates::AWS, at(0));
    assert_eq!(retry_after(limiter.put(at(0), 1, 1)), 1_000);

    // Down: no more than the bucket now holds.
    let mut limiter = writer();
    limiter.set(&Rates { write_records_s: 10, ..Rates::AWS }, at(0));
    assert_eq!(limiter.put(at(0), 10, 1), Ok(()));
    assert!(limiter.put(at(0), 1, 1).is_err());

    // From no limits: starts full. What was spent before counts at the old rate up to the change.
    limiter.set(&Rates::NONE, at(0));
    assert_eq!(limiter.put(at(0), 5_000, 1), Ok(()));
    limiter.set(&Rates::AWS, at(0));
    assert_eq!(limiter.put(at(0), 1_000, 1), Ok(()));
    limiter.set(&doubled, at(SECOND / 2));
    assert_eq!(limiter.put(at(SECOND / 2), 500, 1), Ok(()));
    assert!(limiter.put(at(SECOND / 2), 1, 1).is_err());
}

/// Rates from tiny to beyond all sense.
fn rate() -> impl Strategy<Value = u64> {
    prop_oneof![1..10_u64, 1..5_000_u64, 1..(4 * MIB), 1..u64::MAX]
}

proptest! {
    /// Goal: `retry_after_us` is exact: that much later the same put passes, one microsecond earlier it does not.
    #[test]
    fn retry_after_is_exact(
        records_s in rate(),
        bytes_s in rate(),
        puts in prop::collection::vec((0..3 * SECOND, 0..2_000_u64, 0..12 * MIB), 1..60),
    ) {
        let rates = Rates { write_records_s: records_s, write_bytes_s: bytes_s, ..Rates::NONE };
        let mut limiter = WriteLimiter::new(&rates, at(0));
        let mut now = 0;
        for (later, records, bytes) in puts {
            now += later;
            let Err(Throttled { retry_after_us }) = limiter.put(at(now), records, bytes) else { continue };
            prop_assert!(retry_after_us > 0);
            let mut early = limiter;
            prop_assert_eq!(
                early.put(at(now + retry_after_us - 1), records, bytes),
                Err(Throttled { retry_after_us: 1 })
            );
            let mut steps = limiter;
            steps.records.refill(at(now + retry_after_us / 2));
            steps.bytes.refill(at(now + retry_after_us / 3));
            prop_assert_eq!(steps.put(at(now + retry_after_us), records, bytes), Ok(()));
            now += retry_after_us;
            prop_assert_eq!(limiter.put(at(now), records, bytes), Ok(()));
        }
    }

    /// Goal: over any stretch no more passes than its allowance, one burst and the one put that may leave debt; and asking
    /// often, or in between, changes nothing.
    #[test]
    fn never_more_than_the_rate(
        records_s in 1..5_000_u64,
        puts in prop::collection::vec((0..SECOND, 1..3_000_u64), 1..100),
    ) {
        let rates = Rates { write_records_s: records_s, ..Rates::NONE };
        let (mut limiter, mut nervous) = (WriteLimiter::new(&rates, at(0)), WriteLimiter::new(&rates, at(0)));
        let (mut now, mut passed) = (0, 0);
        for (later, records) in puts {
            for n in 1..=7 {
                nervous.records.refill(at(now + later * n / 7));
            }
            now += later;
            let verdict = limiter.put(at(now), records, 0);
            prop_assert_eq!(nervous.put(at(now), records, 0), verdict);
            if verdict.is_ok() {
                prop_assert!(passed * SECOND <= records_s * (SECOND + now));
                passed += records;
            }
        }
    }
}
