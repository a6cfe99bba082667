//! Bad input: a precise error, the connection usable where that is safe, never a wrong record.

use std::time::Duration;

use millstream::limits::{
    FRAME_BODY_BYTES_MAX, RECORD_BYTES_DEFAULT, RECORD_BYTES_MAX, SUBSCRIPTIONS_PER_CONNECTION_MAX,
};
use millstream::protocol::messages::{
    CreateStream, Get, HashKeys, Hello, Ping, Position, Put, PutKeyed, ReadState, SettingsChange, Start, Stats,
    Subscribe, Unsubscribe,
};
use millstream::protocol::{ErrorCode, HEAD_BYTES, Kind};
use millstream::runtime::Reactor;
use millstream::runtime::local::join_all;
use millstream::types::{GroupId, Offset};

use crate::world::{Conn, HELLO, World, credit, error, one, put, request};

const NO_CHANGE: SettingsChange = SettingsChange::NONE;

/// Sums a head anew after it was changed.
fn resum(bytes: &mut [u8]) {
    let args = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let end = (HEAD_BYTES + args).min(bytes.len());
    let crc = crc32fast::hash(&bytes[8..end]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Goal: each way in which a head can be wrong gets its error, before and after the handshake, and ends the connection.
#[test]
fn wrong_heads() {
    let world = World::new(1);
    let wrong = |change: fn(&mut Vec<u8>)| {
        let mut bytes = request(9, &Ping, &[]);
        change(&mut bytes);
        bytes
    };
    let set = |at: usize, value: u32| {
        let mut bytes = request(9, &Ping, &[]);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        resum(&mut bytes);
        bytes
    };
    let cases = [
        (wrong(|bytes| bytes[0] = b'X'), ErrorCode::BadHead),
        (b"GET ".to_vec(), ErrorCode::BadHead),
        (wrong(|bytes| (bytes[8] = 9, resum(bytes)).1), ErrorCode::UnsupportedVersion),
        (wrong(|bytes| (bytes[10] = 2, resum(bytes)).1), ErrorCode::BadHead),
        (wrong(|bytes| (bytes[10] = 1, resum(bytes)).1), ErrorCode::BadHead),
        (wrong(|bytes| bytes[4] ^= 1), ErrorCode::HeadChecksum),
        (wrong(|bytes| (bytes[24] = 0, resum(bytes)).1), ErrorCode::BadHead),
        (set(12, u32::MAX), ErrorCode::TooLarge),
        (set(16, u32::MAX), ErrorCode::TooLarge),
        (set(16, FRAME_BODY_BYTES_MAX + 1), ErrorCode::TooLarge),
    ];
    world.sim.block_on(async {
        for (bytes, code) in &cases {
            let mut fresh = world.connect(world.ports()[0]).await;
            fresh.send(bytes).await;
            assert_eq!(fresh.ends_with().await, Some(*code));
            let mut greeted = world.open(world.ports()[1]).await;
            greeted.send(bytes).await;
            assert_eq!(greeted.ends_with().await, Some(*code));
        }
    });
}

/// Goal: the handshake takes the first place once, agrees on a version and knows its token.
#[test]
fn handshake() {
    let world = World::with(1, |options| options.token = Some(b"secret".to_vec()));
    world.sim.block_on(async {
        let cases = [
            (request(1, &Ping, &[]), ErrorCode::HelloExpected),
            (request(1, &Hello { version_min: 7, version_max: 9, ..HELLO }, &[]), ErrorCode::UnsupportedVersion),
            (request(1, &HELLO, &[]), ErrorCode::Unauthorized),
            (request(1, &Hello { token: b"secreT", ..HELLO }, &[]), ErrorCode::Unauthorized),
        ];
        for (bytes, code) in cases {
            let mut conn = world.connect(world.ports()[0]).await;
            conn.send(&bytes).await;
            assert_eq!(conn.ends_with().await, Some(code));
        }
        let mut conn = world.connect(world.ports()[0]).await;
        let hello = Hello { token: b"secret", ..HELLO };
        conn.call(&hello, &[]).await.answer::<Hello<'_>>().unwrap().unwrap();
        assert_eq!(conn.fails(&hello, &[]).await, ErrorCode::InvalidArgument);
        conn.ping().await;
        let mut silent = world.connect(world.ports()[0]).await;
        assert_eq!(silent.ends_with().await, Some(ErrorCode::TooSlow));
    });
}

/// Goal: args that lie, unknown operations and bodies where none belongs are answered, and the connection goes on.
#[test]
fn wrong_args() {
    let world = World::new(1);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        let mut unknown = request(90, &Ping, &[]);
        unknown[9] = 200;
        let mut longer = request(90, &put(group), &[]);
        longer.push(0);
        longer[12] += 1;
        let mut text = request(90, &CreateStream { name: "abc", shards: 1, settings: NO_CHANGE }, &[]);
        text[HEAD_BYTES] = 200;
        let mut utf8 = request(90, &CreateStream { name: "abc", shards: 1, settings: NO_CHANGE }, &[]);
        utf8[HEAD_BYTES + 2] = 0xff;
        let cases = [
            (unknown, ErrorCode::UnsupportedOpcode),
            (longer, ErrorCode::Malformed),
            (request(90, &Ping, b"body"), ErrorCode::Malformed),
            (utf8, ErrorCode::Malformed),
        ];
        for (mut bytes, code) in cases {
            resum(&mut bytes);
            conn.send(&bytes).await;
            assert_eq!(error(&conn.recv().await.unwrap()), code);
            conn.ping().await;
        }
        resum(&mut text);
        conn.send(&text).await;
        let code = error(&conn.recv().await.unwrap());
        assert!([ErrorCode::Malformed, ErrorCode::InvalidArgument].contains(&code), "{code:?}");
        conn.ping().await;
    });
}

fn valid_requests(group: GroupId) -> Vec<Vec<u8>> {
    let body = one("key", b"some data");
    vec![
        request(1, &put(group), &body),
        request(1, &PutKeyed { stream: "s", record_count: 1, hash_keys: HashKeys::NONE }, &body),
        request(1, &Get { group, from: Offset(0), bytes_max: 100, wait_ms: 0 }, &[]),
        request(1, &Subscribe { group, start: Start::At(Offset(0)), consumer: 0, credit: 1 }, &[]),
        request(1, &CreateStream { name: "other", shards: 1, settings: NO_CHANGE }, &[]),
    ]
}

/// Goal: a request cut off anywhere does nothing, whether the client closes or falls silent; silence is told TooSlow.
#[test]
fn every_truncation() {
    let world = World::new(1);
    world.sim.block_on(async {
        let mut good = world.worker(0).await;
        let group = good.create("s", 1, NO_CHANGE).await[0].group;
        let hello = request(1, &HELLO, &[]);
        let cut_off = async |bytes: Vec<u8>, greeted: bool, closes: bool| {
            let addr = world.ports()[1];
            let mut conn = if greeted { world.open(addr).await } else { world.connect(addr).await };
            conn.send(&bytes).await;
            if !closes {
                assert_eq!(conn.ends_with().await, Some(ErrorCode::TooSlow));
            }
        };
        let requests = valid_requests(group);
        let all = requests.iter().map(|bytes| (bytes, true)).chain([(&hello, false)]);
        let mut cases = Vec::new();
        for (bytes, greeted) in all {
            for len in 1..bytes.len() {
                cases.extend([true, false].map(|closes| cut_off(bytes[..len].to_vec(), greeted, closes)));
            }
        }
        join_all(cases).await;
        assert!(good.read_all(group).await.is_empty(), "nothing was stored");
        assert_eq!(good.fails(&Stats::Stream("other"), &[]).await, ErrorCode::StreamNotFound);
        assert_eq!(good.stat(Stats::Node, "connections").await, 1);
    });
}

/// Goal: a put with any byte flipped is refused with the error of that place, and never stored.
#[test]
fn every_flipped_byte() {
    let world = World::new(1);
    world.sim.block_on(async {
        let group = world.worker(0).await.create("s", 1, NO_CHANGE).await[0].group;
        let bytes = request(1, &put(group), &one("key", b"some data"));
        let body_at = bytes.len() - one("key", b"some data").len();
        let flipped = async |at: usize, bit: u8| {
            let mut conn = world.worker(0).await;
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            conn.send(&bytes).await;
            if at >= body_at {
                assert_eq!(error(&conn.recv().await.unwrap()), ErrorCode::BodyChecksum);
                return conn.ping().await;
            }
            let code = conn.ends_with().await.unwrap_or_else(|| panic!("byte {at}, bit {bit}: no error"));
            let expected: &[ErrorCode] = match at {
                0..4 => &[ErrorCode::BadHead],
                8 => &[ErrorCode::UnsupportedVersion],
                10 | 11 => &[ErrorCode::BadHead],
                // A length that claims more, within the limit, is waited for.
                12..16 => &[ErrorCode::TooLarge, ErrorCode::HeadChecksum, ErrorCode::TooSlow],
                16..20 => &[ErrorCode::TooLarge, ErrorCode::HeadChecksum],
                24..32 => &[ErrorCode::HeadChecksum, ErrorCode::BadHead],
                _ => &[ErrorCode::HeadChecksum],
            };
            assert!(expected.contains(&code), "byte {at}, bit {bit}: {code:?}");
        };
        join_all((0..bytes.len()).flat_map(|at| [0, 3, 7].map(|bit| flipped(at, bit)))).await;
        let mut good = world.worker(0).await;
        assert!(good.read_all(group).await.is_empty(), "nothing was stored");
    });
}

async fn bad_put(conn: &mut Conn, group: GroupId, count: u32, body: &[u8]) -> ErrorCode {
    let code = conn.fails(&Put { group, producer: None, record_count: count }, body).await;
    let keyed = conn.fails(&PutKeyed { stream: "s", record_count: count, hash_keys: HashKeys::NONE }, body).await;
    assert_eq!(code, keyed, "both ways to put say the same");
    conn.ping().await;
    code
}

/// Goal: records that are no records, too large or miscounted are refused, here and through another worker.
#[test]
fn wrong_records() {
    let world = World::new(2);
    world.sim.block_on(async {
        let (mut conn, big) =
            (world.worker(0).await, SettingsChange { record_bytes_max: Some(RECORD_BYTES_MAX), ..NO_CHANGE });
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        let large = conn.create("large", 1, big).await[0].group;
        for worker in 0..2 {
            let mut conn = world.worker(worker).await;
            let long = "é".repeat(257);
            let mut not_text = one("key", b"data");
            not_text[8] = 0xff;
            let mut lying = one("key", b"data");
            lying[0] = 200;
            for body in [one(&long, b""), one("", b"data"), not_text, lying, Vec::new()] {
                assert_eq!(bad_put(&mut conn, group, 1, &body).await, ErrorCode::BadRecord);
            }
            for count in [0, 2, 10_000] {
                assert_eq!(bad_put(&mut conn, group, count, &one("key", b"data")).await, ErrorCode::BadRecord);
            }
            let max = vec![7; RECORD_BYTES_DEFAULT as usize - 3];
            conn.put(group, "key", &max).await;
            conn.put(group, &"𝄞".repeat(256), b"").await;
            let over = vec![7; RECORD_BYTES_DEFAULT as usize - 2];
            assert_eq!(bad_put(&mut conn, group, 1, &one("key", &over)).await, ErrorCode::RecordTooLarge);
            conn.put(large, "key", &vec![7; RECORD_BYTES_MAX as usize - 3]).await;
            let over = vec![7; RECORD_BYTES_MAX as usize - 2];
            assert_eq!(conn.fails(&put(large), &one("key", &over)).await, ErrorCode::RecordTooLarge);
            let keyed = PutKeyed { stream: "none", record_count: 1, hash_keys: HashKeys::NONE };
            assert_eq!(conn.fails(&keyed, &one("k", b"")).await, ErrorCode::StreamNotFound);
            assert_eq!(conn.fails(&put(GroupId(999)), &one("k", b"")).await, ErrorCode::ShardNotFound);
            let mut wrong_sum = request(70, &put(group), &one("k", b"x"));
            *wrong_sum.last_mut().unwrap() ^= 1;
            conn.send(&wrong_sum).await;
            assert_eq!(error(&conn.recv().await.unwrap()), ErrorCode::BodyChecksum);
            conn.ping().await;
        }
        assert_eq!(conn.read_all(group).await.len(), 4);
        assert_eq!(conn.read_all(large).await.len(), 2);
    });
}

/// Goal: reads out of bounds say where the bounds are; a read without room gives one frame; a long poll waits.
#[test]
fn wrong_offsets() {
    let world = World::new(2);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        for worker in 0..2 {
            let mut conn = world.worker(worker).await;
            let base = conn.put(group, "k", b"1").await.base_offset;
            let get = |from, bytes_max, wait_ms| Get { group, from, bytes_max, wait_ms };
            assert_eq!(conn.fails(&get(base.plus(2), 100, 0), &[]).await, ErrorCode::BeyondEnd);
            assert_eq!(conn.fails(&get(Offset(u64::MAX), 100, 50), &[]).await, ErrorCode::BeyondEnd);
            let at = Position { group, start: Start::At(Offset(u64::MAX)) };
            assert_eq!(conn.fails(&at, &[]).await, ErrorCode::BeyondEnd);
            let after = Position { group, start: Start::After(Offset(u64::MAX)) };
            assert_eq!(conn.fails(&after, &[]).await, ErrorCode::BeyondEnd);
            assert_eq!(
                conn.fails(&Subscribe { group, start: Start::At(base.plus(2)), consumer: 0, credit: 1 }, &[]).await,
                ErrorCode::BeyondEnd
            );
            assert_eq!(
                conn.fails(&Get { group: GroupId(999), ..get(base, 1, 0) }, &[]).await,
                ErrorCode::ShardNotFound
            );
            let answer = conn.call(&get(base, 0, 0), &[]).await;
            assert_eq!(crate::world::records(&answer.body).len(), 1, "always one frame");
            let before = world.sim.now();
            let answer = conn.call(&get(base.plus(1), 100, 700), &[]).await;
            let state: ReadState = answer.answer::<Get>().unwrap().unwrap();
            assert!(answer.body.is_empty() && state.next_offset == base.plus(1));
            assert!(world.sim.now().since(before) >= 700_000, "it waited");
        }
        world.sim.jump_wall(world.node, 25 * 3_600_000_000);
        for worker in 0..2 {
            let mut conn = world.worker(worker).await;
            let get = Get { group, from: Offset(0), bytes_max: 100, wait_ms: 0 };
            assert_eq!(conn.fails(&get, &[]).await, ErrorCode::BeforeHorizon);
            let subscribe = Subscribe { group, start: Start::At(Offset(0)), consumer: 0, credit: 1 };
            assert_eq!(conn.fails(&subscribe, &[]).await, ErrorCode::BeforeHorizon);
            conn.ping().await;
        }
    });
}

/// Goal: subscriptions are named by one correlation at a time, are counted, and a name used again is a new one.
#[test]
fn subscriptions_have_names_and_a_number() {
    let world = World::new(1);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        conn.put(group, "k", b"1").await;
        conn.send(&credit(400, 12345, 10)).await;
        conn.ping().await;
        let subscribe = Subscribe { group, start: Start::At(Offset(0)), consumer: 0, credit: 0 };
        conn.send(&request(500, &subscribe, &[])).await;
        assert_eq!(conn.recv().await.unwrap().head.kind, Kind::Answer);
        conn.send(&request(500, &subscribe, &[])).await;
        assert_eq!(error(&conn.recv().await.unwrap()), ErrorCode::InvalidArgument);
        // Ended and begun again in one go: credit reaches the new one.
        let mut both = request(501, &Unsubscribe { subscription: 500 }, &[]);
        both.extend(request(500, &subscribe, &[]));
        conn.send(&both).await;
        assert_eq!(conn.recv().await.unwrap().head.correlation, 501);
        assert_eq!(conn.recv().await.unwrap().head.correlation, 500);
        world.rt().sleep(Duration::from_millis(50)).await;
        conn.send(&credit(502, 500, 10)).await;
        assert_eq!(conn.recv().await.unwrap().head.kind, Kind::Push);
        let answer = conn.call(&Unsubscribe { subscription: 500 }, &[]).await;
        assert!(answer.answer::<Unsubscribe>().unwrap().unwrap().existed);
        let answer = conn.call(&Unsubscribe { subscription: 500 }, &[]).await;
        assert!(!answer.answer::<Unsubscribe>().unwrap().unwrap().existed);
        for _ in 0..SUBSCRIPTIONS_PER_CONNECTION_MAX {
            conn.call(&subscribe, &[]).await.answer::<Subscribe>().unwrap().unwrap();
        }
        assert_eq!(conn.fails(&subscribe, &[]).await, ErrorCode::TooManySubscriptions);
        conn.ping().await;
    });
}
