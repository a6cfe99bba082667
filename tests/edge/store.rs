//! Small values and leases, as section 9 of PROTOCOL.md has them, at every port.

use std::time::Duration;

use millstream::protocol::messages::{
    DescribeStream, Expect, LeaseClaim, LeaseClaimAnswer, LeaseRelease, LeaseRenew, Renewal, SettingsChange,
    ShardFilter, StoreDelete, StoreGet, StoreList, StorePut,
};
use millstream::protocol::{ErrorCode, Kind};
use millstream::runtime::Reactor;
use millstream::sim::{DiskOptions, Span};
use millstream::types::ShardNumber;

use crate::world::{Conn, World, error, request};

const SPACE: &str = "app/orders";

const fn put<'a>(key: &'a str, value: &'a [u8], expect: Expect, token: Option<u64>) -> StorePut<'a> {
    StorePut { space: SPACE, key, value, expect, token }
}

const fn delete(key: &str, expect: Expect, token: Option<u64>) -> StoreDelete<'_> {
    StoreDelete { space: SPACE, key, expect, token }
}

const fn claim<'a>(key: &'a str, owner: &'a str, take_from: Option<u64>) -> LeaseClaim<'a> {
    LeaseClaim { space: SPACE, key, owner, ttl_ms: 10_000, take_from }
}

async fn stored(conn: &mut Conn, args: &StorePut<'_>) -> u64 {
    conn.call(args, &[]).await.answer::<StorePut<'_>>().unwrap().unwrap().version
}

async fn deleted(conn: &mut Conn, args: &StoreDelete<'_>) -> bool {
    conn.call(args, &[]).await.answer::<StoreDelete<'_>>().unwrap().unwrap().existed
}

async fn claimed(conn: &mut Conn, args: &LeaseClaim<'_>) -> u64 {
    conn.call(args, &[]).await.answer::<LeaseClaim<'_>>().unwrap().unwrap().token
}

async fn renewed(conn: &mut Conn, renewals: &[(&str, u64)]) -> Vec<bool> {
    let renewals = renewals.iter().map(|(key, token)| Renewal { key, token: *token }).collect();
    let answer = conn.call(&LeaseRenew { space: SPACE, renewals }, &[]).await;
    answer.answer::<LeaseRenew<'_>>().unwrap().unwrap().held
}

/// Version, value, and token, remaining time and owner of the lease.
type Found = (u64, Vec<u8>, Option<(u64, u32, String)>);

async fn get(conn: &mut Conn, key: &str) -> Option<Found> {
    let answer = conn.call(&StoreGet { space: SPACE, key }, &[]).await;
    let item = answer.answer::<StoreGet<'_>>().unwrap().unwrap().item?;
    let lease = item.lease.map(|lease| (lease.token, lease.remaining_ms, lease.owner.to_owned()));
    Some((item.version, item.value.to_vec(), lease))
}

async fn list(conn: &mut Conn, prefix: &str, after: &str, limit: u32) -> (Vec<String>, bool) {
    let answer = conn.call(&StoreList { space: SPACE, prefix, after, limit }, &[]).await;
    let answer = answer.answer::<StoreList<'_>>().unwrap().unwrap();
    (answer.items.iter().map(|item| item.key.to_owned()).collect(), answer.more)
}

/// Goal: values are put, read and deleted by what is expected of them, and every port sees the same; the catalogue's
/// version does not grow, and a version is never used twice.
#[test]
fn values_at_every_port() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        conn.create("s", 1, SettingsChange::NONE).await;
        let catalogue = |message: millstream::protocol::Message| {
            message.answer::<DescribeStream<'_>>().unwrap().unwrap().catalogue_version
        };
        let describe = DescribeStream { name: "s", from_shard: ShardNumber(0), limit: 0, filter: ShardFilter::All };
        let before = catalogue(conn.call(&describe, &[]).await);
        let mut last = 0;
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            assert_eq!(get(&mut conn, "k").await, None);
            assert!(!deleted(&mut conn, &delete("k", Expect::Any, None)).await);
            assert!(!deleted(&mut conn, &delete("k", Expect::Absent, None)).await, "as expected, there is none");
            let refusal = conn.refused(&put("k", b"1", Expect::Version(7), None), &[]).await;
            assert_eq!((refusal.code, refusal.details), (ErrorCode::VersionMismatch, (0, 0)));
            let refusal = conn.refused(&delete("k", Expect::Version(7), None), &[]).await;
            assert_eq!((refusal.code, refusal.details), (ErrorCode::VersionMismatch, (0, 0)));

            let first = stored(&mut conn, &put("k", b"1", Expect::Absent, None)).await;
            assert!(first > last, "a version that was in use before the deletion would let a stale writer in");
            let refusal = conn.refused(&put("k", b"2", Expect::Absent, None), &[]).await;
            assert_eq!((refusal.code, refusal.details), (ErrorCode::VersionMismatch, (first, 1)));
            let second = stored(&mut conn, &put("k", b"2", Expect::Version(first), None)).await;
            assert!(second > first);
            assert_eq!(
                conn.fails(&put("k", b"3", Expect::Version(first), None), &[]).await,
                ErrorCode::VersionMismatch
            );
            last = stored(&mut conn, &put("k", b"", Expect::Any, None)).await;
            for other in world.ports() {
                let mut other = world.open(other).await;
                assert_eq!(get(&mut other, "k").await, Some((last, Vec::new(), None)));
                assert_eq!(catalogue(other.call(&describe, &[]).await), before);
            }
            let refusal = conn.refused(&delete("k", Expect::Version(first), None), &[]).await;
            assert_eq!((refusal.code, refusal.details), (ErrorCode::VersionMismatch, (last, 1)));
            let refusal = conn.refused(&delete("k", Expect::Absent, None), &[]).await;
            assert_eq!((refusal.code, refusal.details), (ErrorCode::VersionMismatch, (last, 1)));
            assert!(deleted(&mut conn, &delete("k", Expect::Version(last), None)).await);
        }
    });
}

/// Goal: what names and sizes cannot be is refused by every operation of the store, at every port.
#[test]
fn bad_names_and_sizes() {
    let world = World::new(3);
    world.sim.block_on(async {
        let long = "k".repeat(128);
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            for space in ["", "with space", "umlaut-ä"] {
                assert_eq!(
                    conn.fails(&StorePut { space, ..put("k", b"", Expect::Any, None) }, &[]).await,
                    ErrorCode::InvalidArgument
                );
                assert_eq!(conn.fails(&StoreGet { space, key: "k" }, &[]).await, ErrorCode::InvalidArgument, "{space}");
                let list = StoreList { space, prefix: "", after: "", limit: 0 };
                if !space.is_empty() {
                    assert_eq!(conn.fails(&list, &[]).await, ErrorCode::InvalidArgument, "{space}");
                }
                assert_eq!(
                    conn.fails(&StoreDelete { space, ..delete("k", Expect::Any, None) }, &[]).await,
                    ErrorCode::InvalidArgument
                );
                assert_eq!(
                    conn.fails(&LeaseClaim { space, ..claim("k", "me", None) }, &[]).await,
                    ErrorCode::InvalidArgument
                );
                let renew = LeaseRenew { space, renewals: vec![Renewal { key: "k", token: 1 }] };
                assert_eq!(conn.fails(&renew, &[]).await, ErrorCode::InvalidArgument, "{space}");
                assert_eq!(
                    conn.fails(&LeaseRelease { space, key: "k", token: 1 }, &[]).await,
                    ErrorCode::InvalidArgument
                );
            }
            assert_eq!(conn.fails(&put("", b"", Expect::Any, None), &[]).await, ErrorCode::InvalidArgument);
            assert_eq!(conn.fails(&StoreGet { space: SPACE, key: "" }, &[]).await, ErrorCode::InvalidArgument);
            assert_eq!(conn.fails(&claim("k", "", None), &[]).await, ErrorCode::InvalidArgument);
            for ttl_ms in [999, 600_001] {
                assert_eq!(
                    conn.fails(&LeaseClaim { ttl_ms, ..claim("k", "me", None) }, &[]).await,
                    ErrorCode::InvalidArgument
                );
            }
            // Also where the lease is held: the claim makes no sense whoever has it.
            let token = claimed(&mut conn, &claim("held", "me", None)).await;
            let mad = LeaseClaim { ttl_ms: 1, ..claim("held", "me", Some(token)) };
            assert_eq!(conn.fails(&mad, &[]).await, ErrorCode::InvalidArgument);
            assert!(deleted(&mut conn, &delete("held", Expect::Any, Some(token))).await);
            let widest = LeaseClaim { space: &long, key: &long, owner: &long, ttl_ms: 1_000, take_from: None };
            let token = claimed(&mut conn, &widest).await;
            let release = LeaseRelease { space: &long, key: &long, token };
            conn.call(&release, &[]).await.answer::<LeaseRelease<'_>>().unwrap().unwrap();
        }
    });
}

/// Goal: without a space the spaces are listed in which something is stored, by prefix and in pages, at every port.
#[test]
fn spaces() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        for space in ["c", "a1", "b", "a2"] {
            stored(&mut conn, &StorePut { space, ..put("k", b"v", Expect::Any, None) }).await;
        }
        assert!(deleted(&mut conn, &StoreDelete { space: "b", ..delete("k", Expect::Any, None) }).await);
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            for (prefix, after, limit, spaces, more) in [
                ("", "", 0, vec!["a1", "a2", "c"], false),
                ("", "", 2, vec!["a1", "a2"], true),
                ("", "a2", 2, vec!["c"], false),
                ("a", "a1", 0, vec!["a2"], false),
                ("b", "", 0, vec![], false),
            ] {
                let message = conn.call(&StoreList { space: "", prefix, after, limit }, &[]).await;
                let answer = message.answer::<StoreList<'_>>().unwrap().unwrap();
                let found: Vec<_> = answer.items.iter().map(|item| item.key).collect();
                assert_eq!((found, answer.more), (spaces, more), "{prefix} {after} {limit}");
                assert!(answer.items.iter().all(|item| item.value.is_empty() && item.lease.is_none()));
            }
        }
    });
}

/// Goal: lists are by key, by prefix, in pages; 0 asks for a full page, and a page says whether there is more.
#[test]
fn lists() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        for n in 0..230 {
            stored(&mut conn, &put(&format!("shard-{n:03}"), b"v", Expect::Any, None)).await;
        }
        for key in ["shard", "shard-", "share", "a", "ä"] {
            stored(&mut conn, &put(key, b"v", Expect::Any, None)).await;
        }
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            let (keys, more) = list(&mut conn, "shard-", "", 0).await;
            assert_eq!((keys.len(), more), (200, true));
            assert_eq!((keys[0].as_str(), keys[1].as_str()), ("shard-", "shard-000"));
            let (rest, more) = list(&mut conn, "shard-", &keys[199], 0).await;
            assert_eq!((rest.len(), more), (31, false));
            assert_eq!(
                list(&mut conn, "shard-22", "", 2).await,
                (vec!["shard-220".to_owned(), "shard-221".to_owned()], true)
            );
            assert_eq!(list(&mut conn, "", "shard-229", 0).await, (vec!["share".to_owned(), "ä".to_owned()], false));
            assert_eq!(list(&mut conn, "", "", 1).await, (vec!["a".to_owned()], true));
            assert_eq!(list(&mut conn, "shard-", "z", 0).await, (vec![], false));
            assert_eq!(list(&mut conn, "ä", "", 1).await, (vec!["ä".to_owned()], false));
            assert_eq!(list(&mut conn, "none", "", 9).await, (vec![], false));
        }
    });
}

/// Goal: an item takes only the token of its lease, run out or not; the errors are those of the protocol.
#[test]
fn tokens_fence() {
    let world = World::new(3);
    world.sim.block_on(async {
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            let mut other = world.worker(1).await;
            assert_eq!(conn.fails(&put("k", b"", Expect::Any, Some(9)), &[]).await, ErrorCode::LeaseLost);
            assert_eq!(conn.fails(&delete("k", Expect::Any, Some(9)), &[]).await, ErrorCode::LeaseLost);
            let message = conn.call(&claim("k", "one", None), &[]).await;
            let LeaseClaimAnswer { token, item } = message.answer::<LeaseClaim<'_>>().unwrap().unwrap();
            assert_eq!((item.version, item.value), (0, &b""[..]));
            let lease = item.lease.unwrap();
            assert_eq!((lease.token, lease.ttl_ms, lease.remaining_ms, lease.owner), (token, 10_000, 10_000, "one"));

            for run_out in [false, true] {
                if run_out {
                    world.rt().sleep(Duration::from_secs(11)).await;
                }
                for (given, code) in [(None, ErrorCode::LeaseHeld), (Some(token + 1), ErrorCode::LeaseLost)] {
                    // The token is looked at before the version.
                    for expect in [Expect::Any, Expect::Absent] {
                        let refusal = other.refused(&put("k", b"x", expect, given), &[]).await;
                        assert_eq!((refusal.code, refusal.details.0), (code, token));
                        assert!(code != ErrorCode::LeaseHeld || refusal.message == "one", "{}", refusal.message);
                        let refusal = other.refused(&delete("k", expect, given), &[]).await;
                        assert_eq!((refusal.code, refusal.details.0), (code, token));
                    }
                }
                let refusal = other.refused(&put("k", b"x", Expect::Version(u64::MAX), Some(token)), &[]).await;
                assert_eq!(refusal.code, ErrorCode::VersionMismatch);
                let version = stored(&mut other, &put("k", b"x", Expect::Any, Some(token))).await;
                let refusal = other.refused(&LeaseRelease { space: SPACE, key: "k", token: token + 1 }, &[]).await;
                assert_eq!((refusal.code, refusal.details.0), (ErrorCode::LeaseLost, token));
                let left = get(&mut conn, "k").await.unwrap();
                assert_eq!(left.0, version);
                assert_eq!(left.2.unwrap().1 > 9_000, !run_out);
            }
            let release = LeaseRelease { space: SPACE, key: "k", token };
            conn.call(&release, &[]).await.answer::<LeaseRelease<'_>>().unwrap().unwrap();
            let refusal = conn.refused(&release, &[]).await;
            assert_eq!((refusal.code, refusal.details.0), (ErrorCode::LeaseLost, 0));
            assert_eq!(get(&mut other, "k").await.unwrap().1, b"x", "the value stays");
            assert_eq!(conn.fails(&put("k", b"", Expect::Any, Some(token)), &[]).await, ErrorCode::LeaseLost);
            assert!(deleted(&mut conn, &delete("k", Expect::Any, None)).await);
        }
    });
}

/// Goal: a lease is granted when it is free, has run out, or is taken from its holder by its token; else its holder is named.
#[test]
fn claims() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut before = 0;
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            let one = claimed(&mut conn, &claim("k", "one", None)).await;
            assert!(one > before);
            world.rt().sleep(Duration::from_millis(2_500)).await;
            for (owner, take_from) in [("two", None), ("one", None), ("two", Some(one + 1))] {
                let refusal = conn.refused(&claim("k", owner, take_from), &[]).await;
                assert_eq!(
                    (refusal.code, refusal.details.0, refusal.message.as_str()),
                    (ErrorCode::LeaseHeld, one, "one")
                );
                assert!((7_000..=7_500).contains(&refusal.details.1), "{:?}", refusal.details);
            }
            let two = claimed(&mut conn, &claim("k", "two", Some(one))).await;
            assert!(two > one, "taken from its holder");
            assert_eq!(conn.fails(&put("k", b"", Expect::Any, Some(one)), &[]).await, ErrorCode::LeaseLost);
            assert_eq!(renewed(&mut conn, &[("k", one), ("k", two), ("none", two)]).await, [false, true, false]);
            world.rt().sleep(Duration::from_millis(9_900)).await;
            assert_eq!(conn.fails(&claim("k", "three", None), &[]).await, ErrorCode::LeaseHeld);
            world.rt().sleep(Duration::from_millis(101)).await;
            // Nobody wants it: it is held again.
            assert_eq!(renewed(&mut conn, &[("k", two)]).await, [true]);
            assert_eq!(conn.fails(&claim("k", "three", None), &[]).await, ErrorCode::LeaseHeld);
            world.rt().sleep(Duration::from_millis(10_001)).await;
            let three = claimed(&mut conn, &claim("k", "three", None)).await;
            assert_eq!(renewed(&mut conn, &[("k", two)]).await, [false]);
            let release = LeaseRelease { space: SPACE, key: "k", token: three };
            conn.call(&release, &[]).await.answer::<LeaseRelease<'_>>().unwrap().unwrap();
            before = claimed(&mut conn, &claim("k", "four", None)).await;
            assert!(deleted(&mut conn, &delete("k", Expect::Any, Some(before))).await);
        }
    });
}

/// Goal: of many who claim a lease at once, at all ports, one is granted; a renewal that is answered as held is not followed
/// by somebody else's grant before its time is over.
#[test]
fn claims_and_renewals_that_meet() {
    let world = World::new(3);
    world.sim.set_disk(world.node, DiskOptions { sync_us: Span::us(5_000, 15_000), ..DiskOptions::default() });
    world.sim.block_on(async {
        let mut conns = Vec::new();
        for addr in world.ports() {
            conns.push(world.open(addr).await);
        }
        for round in 0..8u64 {
            let key = format!("k{round}");
            let mine = claimed(&mut conns[0], &claim(&key, "me", None)).await;
            world.rt().sleep(Duration::from_millis(10_001)).await;
            // Changes that are on their way to the disk keep the claims waiting.
            for conn in &mut conns {
                conn.send(&request(1_000, &put("other", b"", Expect::Any, None), &[])).await;
                conn.send(&request(1_001, &claim(&key, "you", None), &[])).await;
            }
            world.rt().sleep(Duration::from_micros(round * 7_000)).await;
            let renew = LeaseRenew { space: SPACE, renewals: vec![Renewal { key: &key, token: mine }] };
            conns[0].send(&request(1_002, &renew, &[])).await;
            let (mut granted, mut held) = (0, None);
            for (nth, conn) in conns.iter_mut().enumerate() {
                for _ in 0..if nth == 0 { 3 } else { 2 } {
                    let message = conn.recv().await.unwrap();
                    match message.head.correlation {
                        1_000 => {}
                        1_001 if message.head.kind == Kind::Answer => granted += 1,
                        1_001 => assert_eq!(error(&message), ErrorCode::LeaseHeld),
                        _ => held = Some(message.answer::<LeaseRenew<'_>>().unwrap().unwrap().held[0]),
                    }
                }
            }
            assert_eq!(
                granted,
                usize::from(held == Some(false)),
                "round {round}: either it was held again or somebody got it"
            );
        }
    });
}

/// Goal: values and tokens outlive a kill; leases then last for their whole time once more; jumps of the wall clock change
/// nothing.
#[test]
fn restarts_and_clocks() {
    let world = World::new(3);
    let (version, token) = world.sim.block_on(async {
        let mut conn = world.worker(2).await;
        let token = claimed(&mut conn, &claim("k", "one", None)).await;
        let version = stored(&mut conn, &put("k", b"42", Expect::Any, Some(token))).await;
        world.sim.jump_wall(world.node, 3_600_000_000);
        assert_eq!(conn.fails(&claim("k", "two", None), &[]).await, ErrorCode::LeaseHeld);
        world.sim.jump_wall(world.node, -7_200_000_000);
        world.rt().sleep(Duration::from_secs(8)).await;
        assert_eq!(conn.fails(&claim("k", "two", None), &[]).await, ErrorCode::LeaseHeld);
        (version, token)
    });
    world.sim.kill(world.node);
    world.start();
    world.sim.block_on(async {
        let mut conn = world.worker(1).await;
        let (found, value, lease) = get(&mut conn, "k").await.unwrap();
        let (held, left, owner) = lease.unwrap();
        assert_eq!((found, value.as_slice(), held, owner.as_str()), (version, &b"42"[..], token, "one"));
        assert!((9_000..=10_000).contains(&left), "{left}");
        world.rt().sleep(Duration::from_millis(9_000)).await;
        assert_eq!(conn.fails(&claim("k", "two", None), &[]).await, ErrorCode::LeaseHeld);
        world.rt().sleep(Duration::from_millis(1_001)).await;
        assert_eq!(renewed(&mut conn, &[("k", token)]).await, [true], "nobody had wanted it");
        world.rt().sleep(Duration::from_millis(10_001)).await;
        assert!(claimed(&mut conn, &claim("k", "two", None)).await > token);
    });
}
