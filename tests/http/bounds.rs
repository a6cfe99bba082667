//! Nothing unbounded, and nothing for ever: clients that do not go on, do not read, or are too many.

use std::time::Duration;

use bytes::BytesMut;
use millstream::limits::{
    CONNECTIONS_PER_WORKER_MAX, HANDSHAKE_US_MAX, HTTP_BODY_BYTES_MAX, HTTP_IDLE_US_MAX, HTTP_REQUESTS_PER_WORKER_MAX,
    HTTP2_STREAMS_MAX, RECEIVE_BUDGET_BYTES, REQUEST_ARRIVAL_US_MAX, SEND_STALL_US_MAX,
};
use millstream::runtime::local::join_all;
use millstream::runtime::{Reactor, ReadHalf};

use crate::frames::{Client, setting};
use crate::world::{World, pattern, post};

/// Goal: a body over the limit is refused before it is read, one whose length is not known as soon as it is too long, and
/// the client reads the answer although it was still sending; so is what decompresses to too much.
#[test]
fn bodies_over_the_limit() {
    let world = World::new();
    world.sim.block_on(async {
        let mut conn = world.connect().await;
        let most = pattern(HTTP_BODY_BYTES_MAX);
        assert_eq!(conn.post("/len", &most).await.text(), format!("{0} {0}", most.len()));
        conn.send(post("/len", &vec![0; HTTP_BODY_BYTES_MAX + 1])).await;
        let answer = conn.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
        assert!(conn.rest().await.is_empty());

        let mut conn = world.connect().await;
        conn.send("POST /len HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![0; 1 << 20], b"\r\n"].concat();
        for _ in 0..20 {
            if !conn.send(&chunk).await {
                break;
            }
        }
        assert_eq!(conn.answer().await.unwrap().status, 413);

        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..1_000 {
            std::io::Write::write_all(&mut bomb, &[0; 1 << 20]).unwrap();
        }
        let bomb = bomb.finish().unwrap();
        let mut conn = world.connect().await;
        let head = "POST /len HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length:";
        conn.send([format!("{head} {}\r\n\r\n", bomb.len()).as_bytes(), &bomb].concat()).await;
        assert_eq!(conn.answer().await.unwrap().status, 413);
        assert_eq!(world.worker.receive_budget.free(), RECEIVE_BUDGET_BYTES);
    });
}

/// Goal: a head that comes in drops is given up when its time is over, and a body is, however steadily they drop. A client
/// that says nothing yet may take longer.
#[test]
fn requests_arrive_in_time_or_not_at_all() {
    let world = World::new();
    world.sim.block_on(async {
        let mut silent = world.connect().await;
        let (mut head, mut body) = (world.connect().await, world.connect().await);
        let mut preface = world.connect().await;
        preface.send("PRI * HT").await;
        let request = post("/echo", &pattern(1_000));
        head.send(&request[..20]).await;
        body.send(&request[..100]).await;
        let before = world.sim.now();
        for at in 0..6 {
            head.send(&request[20 + at..21 + at]).await;
            body.send(&request[100 + at..101 + at]).await;
            world.rt().sleep(Duration::from_secs(5)).await;
        }
        assert!(head.rest().await.is_empty());
        assert!(preface.rest().await.is_empty());
        assert_eq!(body.answer().await.unwrap().status, 408);
        assert!(body.rest().await.is_empty());
        let took = world.sim.now().since(before);
        assert!((REQUEST_ARRIVAL_US_MAX..REQUEST_ARRIVAL_US_MAX + 6_000_000).contains(&took), "{took}");
        drop(body);
        world.until(|| world.worker.connections.get() == 1).await;
        assert_eq!(silent.post("/echo", b"after all").await.text(), "after all");
        assert_eq!(world.probe.begun.get(), 1);
    });
}

/// Goal: connections that say nothing are closed at last, whether they never did or have had their answers; those of HTTP/2
/// that keep themselves alive are not.
#[test]
fn idle_connections_are_closed_at_last() {
    let world = World::new();
    world.sim.block_on(async {
        let (mut silent, mut served) = (world.connect().await, world.connect().await);
        served.post("/echo", b"x").await;
        let mut alive = Client::new(world.connect().await, &[]).await;
        let half = Duration::from_micros(HTTP_IDLE_US_MAX / 2 + 2_000_000);
        for _ in 0..3 {
            world.rt().sleep(half).await;
            alive.conn.send(crate::frames::frame(crate::frames::PING, 0, 0, &[0; 8])).await;
        }
        assert!(silent.rest().await.is_empty() && served.rest().await.is_empty());
        let stream = alive.post("/echo", b"alive").await;
        assert_eq!(alive.answer(stream).await.body, b"alive");
        world.rt().sleep(2 * half).await;
        alive.rest().await;
        assert_eq!(world.worker.connections.get(), 0);
    });
}

/// Goal: a client that takes nothing of its answers is disconnected, over HTTP/1.1 and over HTTP/2, where its socket has room
/// and its window has not; one that reads slowly is kept.
#[test]
fn who_takes_nothing_is_disconnected() {
    let world = World::new();
    world.sim.block_on(async {
        let mut deaf = world.connect().await;
        deaf.send(post("/big/8000000", b"")).await;
        let mut closed = Client::new(world.connect().await, &setting(4, 0)).await;
        closed.post("/big/100", b"").await;
        let mut slow = world.connect().await;
        slow.send(post("/big/8000000", b"")).await;
        let mut events = world.connect().await;
        events.send(post("/stream", b"")).await;
        let (mut total, mut got) = (0, BytesMut::with_capacity(64 << 10));
        let before = world.sim.now();
        while world.sim.now().since(before) < SEND_STALL_US_MAX + 5_000_000 {
            total += slow.read.read(&mut got).await.unwrap();
            got.clear();
            world.rt().sleep(Duration::from_millis(2_000)).await;
        }
        assert!(total > 1 << 20);
        // What is in the socket's buffer of the one that hears events has not filled up.
        world.until(|| world.worker.connections.get() == 2).await;
        let said = deaf.rest().await.len();
        assert!(said < 8_000_000, "{said}");
        closed.rest().await;
        while total < 8_000_000 {
            total += slow.read.read(&mut got).await.unwrap();
            got.clear();
        }
        // The handler was done with all of them; only what waited was given up.
        assert_eq!(world.probe.begun.get(), world.probe.ended.get());
    });
}

/// Goal: as many connections as a worker takes, idle or after a request, are served; one more is closed; there is room again
/// afterwards.
#[test]
fn thousands_of_idle_connections() {
    let world = World::new();
    world.sim.block_on(async {
        let mut all = Vec::new();
        while all.len() < CONNECTIONS_PER_WORKER_MAX {
            let batch = (0..500).map(async |number| {
                let mut conn = world.connect().await;
                if number % 10 == 0 {
                    conn.post("/echo", b"x").await;
                }
                conn
            });
            all.extend(join_all(batch).await);
        }
        world.until(|| world.worker.connections.get() == CONNECTIONS_PER_WORKER_MAX).await;
        let mut refused = world.connect().await;
        refused.send(post("/echo", b"")).await;
        assert!(refused.rest().await.is_empty());
        assert_eq!(all[5_555].post("/echo", b"served").await.text(), "served");
        drop(all);
        world.until(|| world.worker.connections.get() == 0).await;
        world.connect().await.post("/echo", b"").await;
    });
}

/// Goal: one request more than a worker answers at a time is refused, over both versions of HTTP; so is none afterwards.
#[test]
fn requests_of_a_worker_are_counted() {
    let world = World::new();
    world.sim.block_on(async {
        let mut clients = Vec::new();
        while world.probe.begun.get() < HTTP_REQUESTS_PER_WORKER_MAX {
            let mut client = Client::new(world.connect().await, &[]).await;
            let most = (HTTP_REQUESTS_PER_WORKER_MAX - world.probe.begun.get()).min(HTTP2_STREAMS_MAX as usize);
            let expected = world.probe.begun.get() + most;
            let posts = client.posts("/never", most);
            client.conn.send(posts).await;
            world.until(|| world.probe.begun.get() == expected).await;
            clients.push(client);
        }
        let mut conn = world.connect().await;
        assert_eq!(conn.post("/echo", b"").await.status, 503);
        let mut client = Client::new(world.connect().await, &[]).await;
        let stream = client.post("/echo", b"").await;
        assert_eq!(client.answer(stream).await.status, 503);
        drop(clients);
        world.until(|| world.probe.ended.get() == HTTP_REQUESTS_PER_WORKER_MAX).await;
        let stream = client.post("/echo", b"").await;
        assert_eq!(client.answer(stream).await.status, 200);
    });
}

/// Goal: bodies beyond what the worker may hold of arriving requests wait, small ones do not, and all are served in the end.
#[test]
fn arriving_bodies_share_a_budget() {
    const LEN: usize = 16 << 20;
    let world = World::new();
    world.sim.block_on(async {
        let slots = RECEIVE_BUDGET_BYTES / LEN;
        let mut slow = Vec::new();
        for _ in 0..slots {
            let mut conn = world.connect().await;
            let head = format!("POST /len HTTP/1.1\r\nHost: h\r\nContent-Length: {LEN}\r\n\r\nbegun");
            conn.send(head).await;
            slow.push(conn);
        }
        world.until(|| world.worker.receive_budget.free() == 0).await;
        let mut waiting = world.connect().await;
        waiting.send(post("/len", &pattern(200_000))).await;
        let mut small = world.connect().await;
        assert_eq!(small.post("/len", &pattern(60_000)).await.text(), "60000 60000");
        let mut framed = Client::new(world.connect().await, &[]).await;
        let stream = framed.post("/len", &pattern(60_000)).await;
        assert_eq!(framed.answer(stream).await.body, b"60000 60000");
        assert_eq!(world.probe.begun.get(), 2);
        slow.truncate(1);
        assert_eq!(waiting.answer().await.unwrap().text(), "200000 200000");
        // Those that never went on are given up.
        assert_eq!(slow[0].answer().await.unwrap().status, 408);
        assert_eq!(world.worker.receive_budget.free(), RECEIVE_BUDGET_BYTES);
    });
}

/// Goal: when the node stops, idle connections close at once, requests under way are answered, streams of events end in order,
/// and new connections are not taken.
#[test]
fn draining() {
    let world = World::new();
    world.sim.block_on(async {
        let mut silent = world.connect().await;
        let mut idle = world.connect().await;
        idle.post("/echo", b"x").await;
        let mut waiting = world.connect().await;
        waiting.send(post("/wait", b"")).await;
        let mut events = world.connect().await;
        events.send(post("/stream", b"")).await;
        events.head().await.unwrap();
        let mut framed = Client::new(world.connect().await, &[]).await;
        let (wait, stream) = (framed.post("/wait", b"").await, framed.post("/stream", b"").await);
        let mut idle_framed = Client::new(world.connect().await, &[]).await;
        let mut half = world.connect().await;
        half.send(&post("/echo", b"whole")[..30]).await;
        world.until(|| world.probe.begun.get() == 5 && world.probe.streams.get() == 2).await;
        world.sleep_ms(10).await;
        let before = world.sim.now();
        world.worker.drain();
        assert!(silent.rest().await.is_empty() && idle.rest().await.is_empty());
        idle_framed.rest().await;
        assert_eq!(idle_framed.goaway, Some(0));
        while !events.chunk().await.unwrap().is_empty() {}
        assert!(framed.answer(stream).await.ended);
        half.send(&post("/echo", b"whole")[30..]).await;
        assert_eq!(half.answer().await.unwrap().text(), "whole");
        assert!(half.rest().await.is_empty());
        world.probe.go();
        assert_eq!(waiting.answer().await.unwrap().header("connection"), Some("close"));
        assert_eq!(framed.answer(wait).await.body, b"waited");
        framed.rest().await;
        world.until(|| world.worker.connections.get() == 0).await;
        assert!(world.sim.now().since(before) < HANDSHAKE_US_MAX / 10);
        world.until(|| world.probe.gone.get() == 2).await;
        assert!(world.rt().connect(world.addr).await.is_err());
    });
}
