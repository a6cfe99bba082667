//! Registered consumers, and what is carried along with them and with streams.

use std::time::Duration;

use millstream::engine::env::Tuning;
use millstream::protocol::messages::{
    DeleteStream, DeregisterConsumer, DescribeConsumer, GetMetadata, ListConsumers, ListStreams, MetadataChange,
    MoveShard, RegisterConsumer, SetMetadata, SettingsChange, ShardFilter, Start, Stats, StreamLimits, Subscribe,
    SubscriptionEnd, Tag, UpdateStream,
};
use millstream::protocol::{Decode, ErrorCode, Kind};
use millstream::runtime::Reactor;
use millstream::runtime::local::join_all;
use millstream::types::{GroupId, ShardNumber, WorkerId};

use crate::world::{Conn, World, credit, records, request};

const NO_CHANGE: SettingsChange = SettingsChange::NONE;

const fn register<'a>(name: &'a str, tags: Vec<Tag<'a>>) -> RegisterConsumer<'a> {
    RegisterConsumer { stream: "s", name, tags }
}

async fn registered(conn: &mut Conn, name: &str) -> u64 {
    let answer = conn.call(&register(name, vec![]), &[]).await;
    answer.answer::<RegisterConsumer<'_>>().unwrap().unwrap().consumer.id
}

async fn subscribed(conn: &mut Conn, correlation: u64, group: GroupId, consumer: u64, credit: u32) {
    let subscribe = Subscribe { group, start: Start::Horizon, consumer, credit };
    conn.send(&request(correlation, &subscribe, &[])).await;
    let answer = conn.recv().await.unwrap();
    assert_eq!((answer.head.kind, answer.head.correlation), (Kind::Answer, correlation));
}

/// Why a subscription ended, which is the next thing said on the connection.
async fn ended(conn: &mut Conn) -> Option<ErrorCode> {
    let last = conn.recv().await.unwrap();
    assert_eq!(last.head.kind, Kind::LastPush);
    SubscriptionEnd::decode(&last.args).unwrap().error.map(|error| error.known().unwrap())
}

/// Goal: consumers are registered, listed in pages (0: a full one), described and deregistered at every port; names are free
/// at once, numbers are never used again.
#[test]
fn registered_at_every_port() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        conn.create("s", 1, NO_CHANGE).await;
        let (mut last, mut created) = (0, 0);
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            for name in ["b", "a", "c"] {
                let id = registered(&mut conn, name).await;
                assert!(id > last);
                last = id;
                assert_eq!(conn.fails(&register(name, vec![]), &[]).await, ErrorCode::ConsumerExists);
            }
            for other in world.ports() {
                let mut other = world.open(other).await;
                let list = |after, limit| ListConsumers { stream: "s", after, limit };
                for (after, limit, expected) in [
                    ("", 0, (vec!["a", "b", "c"], false)),
                    ("", 2, (vec!["a", "b"], true)),
                    ("b", 2, (vec!["c"], false)),
                ] {
                    let answer = other.call(&list(after, limit), &[]).await;
                    let answer = answer.answer::<ListConsumers<'_>>().unwrap().unwrap();
                    assert_eq!((answer.consumers.iter().map(|c| c.name).collect::<Vec<_>>(), answer.more), expected);
                }
                let answer = other.call(&DescribeConsumer { stream: "s", name: "c" }, &[]).await;
                let consumer = answer.answer::<DescribeConsumer<'_>>().unwrap().unwrap();
                assert_eq!(consumer.id, last);
                assert!(consumer.created.0 / 1_000_000 > created, "no two of one name are of the same second");
            }
            let answer = conn.call(&DescribeConsumer { stream: "s", name: "c" }, &[]).await;
            created = answer.answer::<DescribeConsumer<'_>>().unwrap().unwrap().created.0 / 1_000_000;
            for name in ["a", "b", "c"] {
                let gone = DeregisterConsumer { stream: "s", name };
                conn.call(&gone, &[]).await.answer::<DeregisterConsumer<'_>>().unwrap().unwrap();
                assert_eq!(conn.fails(&gone, &[]).await, ErrorCode::ConsumerNotFound);
                assert_eq!(conn.fails(&DescribeConsumer { stream: "s", name }, &[]).await, ErrorCode::ConsumerNotFound);
            }
            for name in ["", "a b", &"n".repeat(128)[..]] {
                let code = if name.len() == 128 { None } else { Some(ErrorCode::InvalidArgument) };
                assert_eq!(conn.fails_or_not(&register(name, vec![])).await, code);
            }
            let gone = DeregisterConsumer { stream: "s", name: &"n".repeat(128) };
            conn.call(&gone, &[]).await.answer::<DeregisterConsumer<'_>>().unwrap().unwrap();
            let unknown = RegisterConsumer { stream: "x", ..register("a", vec![]) };
            assert_eq!(conn.fails(&unknown, &[]).await, ErrorCode::StreamNotFound);
        }
    });
}

/// Goal: a newer subscription of a consumer ends the older one at once, wherever each is, with and without credit, on idle
/// shards; deregistering ends it too; a consumer that is not registered cannot subscribe.
#[test]
fn taken_over() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let shards = conn.create("s", 3, NO_CHANGE).await;
        for shard in &shards {
            let id = registered(&mut conn, "c").await;
            let mut older: Option<Conn> = None;
            for (nth, addr) in world.ports().into_iter().chain(world.ports()).enumerate() {
                let mut newer = world.open(addr).await;
                let before = world.sim.now();
                subscribed(&mut newer, 10, shard.group, id, (nth % 2) as u32).await;
                if let Some(older) = &mut older {
                    assert_eq!(ended(older).await, Some(ErrorCode::SubscriptionTakenOver));
                    older.ping().await;
                }
                assert!(world.sim.now().since(before) < 100_000);
                older = Some(newer);
            }
            let before = world.sim.now();
            let gone = DeregisterConsumer { stream: "s", name: "c" };
            conn.call(&gone, &[]).await.answer::<DeregisterConsumer<'_>>().unwrap().unwrap();
            assert_eq!(ended(&mut older.unwrap()).await, Some(ErrorCode::ConsumerNotFound));
            assert!(world.sim.now().since(before) < 100_000);
            for addr in world.ports() {
                let subscribe = Subscribe { group: shard.group, start: Start::Horizon, consumer: id, credit: 1 };
                assert_eq!(world.open(addr).await.fails(&subscribe, &[]).await, ErrorCode::ConsumerNotFound);
            }
        }
    });
}

/// Goal: a shard that moves ends the subscriptions of consumers as moved, not as taken over: they subscribe again.
#[test]
fn a_move_is_no_take_over() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        let id = registered(&mut conn, "c").await;
        for (nth, addr) in world.ports().into_iter().chain(world.ports()).enumerate() {
            let mut reader = world.open(addr).await;
            subscribed(&mut reader, 10, group, id, (nth / 4) as u32).await;
            let to = WorkerId((conn.describe("s").await[0].worker.0 + 1) % 3);
            let change = MoveShard { stream: "s", shard: ShardNumber(0), to };
            conn.call(&change, &[]).await.answer::<MoveShard<'_>>().unwrap().unwrap();
            assert_eq!(ended(&mut reader).await, Some(ErrorCode::WrongShardMap), "port {nth}");
        }
    });
}

/// Goal: registered consumers keep a stream unless their deletion is asked for; with the stream their subscriptions end.
#[test]
fn consumers_keep_a_stream() {
    let world = World::new(3);
    world.sim.block_on(async {
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            let group = conn.create("s", 1, NO_CHANGE).await[0].group;
            let id = registered(&mut conn, "c").await;
            let mut reader = world.worker(1).await;
            subscribed(&mut reader, 5, group, id, 1).await;
            subscribed(&mut reader, 6, group, 0, 0).await;
            let refusal = conn.refused(&DeleteStream { name: "s", enforce_consumer_deletion: false }, &[]).await;
            assert_eq!((refusal.code, refusal.details.0), (ErrorCode::HasConsumers, 1));
            let delete = DeleteStream { name: "s", enforce_consumer_deletion: true };
            conn.call(&delete, &[]).await.answer::<DeleteStream<'_>>().unwrap().unwrap();
            for _ in 0..2 {
                let code = ended(&mut reader).await;
                assert!(matches!(code, Some(ErrorCode::ShardNotFound | ErrorCode::StreamNotActive)), "{code:?}");
            }
        }
    });
}

/// Goal: fifty consumers of one shard, on all ports, get every record once and in order while it is written.
#[test]
fn fifty_consumers() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        let ports = world.ports();
        let mut readers = Vec::new();
        for nth in 0..50 {
            let id = registered(&mut conn, &format!("c{nth}")).await;
            let mut reader = world.open(ports[nth % ports.len()]).await;
            subscribed(&mut reader, 7, group, id, 1).await;
            readers.push(reader);
        }
        let refusal = conn.refused(&register("one-more", vec![]), &[]).await;
        assert_eq!((refusal.code, refusal.details.0), (ErrorCode::LimitExceeded, 50));
        for n in 0..100u8 {
            conn.put(group, "k", &[n]).await;
        }
        for reader in &mut readers {
            let mut got = Vec::new();
            while got.len() < 100 {
                let push = reader.recv().await.unwrap();
                assert_eq!(push.head.kind, Kind::Push);
                got.extend(records(&push.body).into_iter().map(|record| record.2[0]));
                reader.send(&credit(9_999, 7, push.body.len() as u32)).await;
            }
            assert_eq!(got, (0..100).collect::<Vec<u8>>());
        }
    });
}

/// Goal: with the limits of Kinesis a consumer gets 2 MiB/s by itself, and as much again another one; limits change online.
#[test]
fn consumers_are_paced() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        for _ in 0..16 {
            conn.put(group, "k", &vec![1; (1 << 20) - 1]).await;
        }
        let aws = SettingsChange { limits: Some(StreamLimits::Aws), ..NO_CHANGE };
        conn.call(&UpdateStream { name: "s", settings: aws }, &[]).await.answer::<UpdateStream<'_>>().unwrap().unwrap();
        let before = world.sim.now();
        let mut readers = Vec::new();
        for (nth, addr) in world.ports().into_iter().enumerate() {
            let id = registered(&mut conn, &format!("c{nth}")).await;
            let mut reader = world.open(addr).await;
            subscribed(&mut reader, 7, group, id, 64 << 20).await;
            readers.push(reader);
        }
        join_all(readers.iter_mut().map(async |reader| {
            let mut got = 0;
            while got < 16 {
                got += records(&reader.recv().await.unwrap().body).len();
            }
        }))
        .await;
        let took = world.sim.now().since(before);
        assert!((5_500_000..8_500_000).contains(&took), "{took} us for 16 MiB each");
        let none = SettingsChange { limits: Some(StreamLimits::None), ..NO_CHANGE };
        conn.call(&UpdateStream { name: "s", settings: none }, &[])
            .await
            .answer::<UpdateStream<'_>>()
            .unwrap()
            .unwrap();
        let before = world.sim.now();
        let id = registered(&mut conn, "fast").await;
        subscribed(&mut conn, 500, group, id, 64 << 20).await;
        let mut got = 0;
        while got < 16 {
            got += records(&conn.recv().await.unwrap().body).len();
        }
        assert!(world.sim.now().since(before) < 1_500_000);
    });
}

async fn metadata(conn: &mut Conn, consumer: &str) -> (Vec<(String, String)>, String, u8, String) {
    let answer = conn.call(&GetMetadata { stream: "s", consumer }, &[]).await;
    let answer = answer.answer::<GetMetadata<'_>>().unwrap().unwrap();
    let tags = answer.tags.iter().map(|tag| (tag.key.to_owned(), tag.value.to_owned())).collect();
    (tags, answer.encryption_key.to_owned(), answer.monitoring, answer.policy.to_owned())
}

/// Goal: tags, encryption, monitoring and policy are kept, at every port the same, and what makes no sense changes nothing.
#[test]
fn metadata_at_every_port() {
    let world = World::new(3);
    world.sim.block_on(async {
        let tag = |key, value| Tag { key, value };
        let mut first = world.worker(0).await;
        first.create("s", 1, NO_CHANGE).await;
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            let answer = conn.call(&register("c", vec![tag("b", "2"), tag("a", "1")]), &[]).await;
            answer.answer::<RegisterConsumer<'_>>().unwrap().unwrap();
            let set = |consumer, change| SetMetadata { stream: "s", consumer, change };
            let tags = |set, remove| MetadataChange::Tags { set, remove };
            for change in [
                set("", tags(vec![tag("team", "x"), tag("old", "")], vec!["none"])),
                set("", tags(vec![tag("team", "billing")], vec!["old"])),
                set("", MetadataChange::Encryption("alias/k")),
                set("", MetadataChange::Monitoring(127)),
                set("", MetadataChange::Policy("{}")),
                set("c", tags(vec![], vec!["b"])),
                set("c", MetadataChange::Policy("{1}")),
            ] {
                // It is sent again safely.
                for _ in 0..2 {
                    conn.call(&change, &[]).await.answer::<SetMetadata<'_>>().unwrap().unwrap();
                }
            }
            for (change, code) in [
                (set("", tags(vec![tag("", "x")], vec![])), ErrorCode::InvalidArgument),
                (set("", tags(vec![tag("a", "1"), tag("a", "2")], vec![])), ErrorCode::InvalidArgument),
                (set("", tags(vec![tag("a", "1")], vec!["a"])), ErrorCode::InvalidArgument),
                (set("", MetadataChange::Monitoring(128)), ErrorCode::InvalidArgument),
                (set("c", MetadataChange::Encryption("k")), ErrorCode::InvalidArgument),
                (set("c", MetadataChange::Monitoring(1)), ErrorCode::InvalidArgument),
                (set("x", MetadataChange::Policy("")), ErrorCode::ConsumerNotFound),
                (SetMetadata { stream: "x", ..set("", MetadataChange::Policy("")) }, ErrorCode::StreamNotFound),
            ] {
                assert_eq!(conn.fails(&change, &[]).await, code, "{change:?}");
            }
            let twice = register("d", vec![tag("a", "1"), tag("a", "2")]);
            assert_eq!(conn.fails(&twice, &[]).await, ErrorCode::InvalidArgument);
            let keys: Vec<String> = (0..50).map(|n| format!("t{n}")).collect();
            let many =
                MetadataChange::Tags { set: keys.iter().map(|key| Tag { key, value: "" }).collect(), remove: vec![] };
            let refusal = conn.refused(&SetMetadata { stream: "s", consumer: "", change: many }, &[]).await;
            assert_eq!((refusal.code, refusal.details.0), (ErrorCode::LimitExceeded, 50));
            for other in world.ports() {
                let mut other = world.open(other).await;
                let team = vec![("team".to_owned(), "billing".to_owned())];
                assert_eq!(metadata(&mut other, "").await, (team, "alias/k".to_owned(), 127, "{}".to_owned()));
                let a = vec![("a".to_owned(), "1".to_owned())];
                assert_eq!(metadata(&mut other, "c").await, (a, String::new(), 0, "{1}".to_owned()));
                assert_eq!(
                    other.fails(&GetMetadata { stream: "s", consumer: "x" }, &[]).await,
                    ErrorCode::ConsumerNotFound
                );
            }
            let gone = DeregisterConsumer { stream: "s", name: "c" };
            conn.call(&gone, &[]).await.answer::<DeregisterConsumer<'_>>().unwrap().unwrap();
        }
    });
}

/// Goal: a limit of 0 asks for a full page of streams and of shards, at every port.
#[test]
fn full_pages() {
    let world = World::new(2);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        for n in 0..5 {
            conn.create(&format!("s{n}"), 3, NO_CHANGE).await;
        }
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            let answer = conn.call(&ListStreams { after: "", limit: 0 }, &[]).await;
            let answer = answer.answer::<ListStreams<'_>>().unwrap().unwrap();
            assert_eq!((answer.streams.len(), answer.more), (5, false));
            let describe = millstream::protocol::messages::DescribeStream {
                name: "s1",
                from_shard: ShardNumber(0),
                limit: 0,
                filter: ShardFilter::All,
            };
            let answer = conn.call(&describe, &[]).await;
            let answer = answer.answer::<millstream::protocol::messages::DescribeStream<'_>>().unwrap().unwrap();
            assert_eq!((answer.shards.len(), answer.more), (3, false));
        }
        world.rt().sleep(Duration::from_millis(1)).await;
    });
}

/// Goal: consumers who take nothing hold no memory and slow nobody: what they missed comes from disk, all of it, in order.
#[test]
fn slow_consumers() {
    let world = World::with(3, |options| options.tuning = Tuning { tail_bytes_max: 0, ..Tuning::default() });
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        let mut slow = Vec::new();
        for (nth, addr) in world.ports().into_iter().enumerate() {
            let id = registered(&mut conn, &format!("c{nth}")).await;
            let mut reader = world.open(addr).await;
            subscribed(&mut reader, 7, group, id, 1).await;
            slow.push(reader);
        }
        for n in 0..30u8 {
            let before = world.sim.now();
            conn.put(group, "k", &vec![n; 1_000_000]).await;
            assert!(world.sim.now().since(before) < 200_000, "nobody is waited for");
        }
        let read = conn.stat(Stats::Shard(group), "read_bytes_total").await;
        assert!(read <= 4 * 1_100_000, "{read} bytes were read for those who take one push at a time");
        for reader in &mut slow {
            let mut got = Vec::new();
            while got.len() < 30 {
                let push = reader.recv().await.unwrap();
                got.extend(records(&push.body).into_iter().map(|record| record.2[0]));
                reader.send(&credit(9_999, 7, push.body.len() as u32)).await;
            }
            assert_eq!(got, (0..30).collect::<Vec<u8>>());
        }
    });
}
