//! HTTP/1.1, as clients send it and as they should not.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use millstream::sim::{Chance, NetOptions};

use crate::world::{World, pattern, post};

/// Goal: one connection serves one request after the other, with and without bodies, however the bytes are cut, and answers
/// carry what the SDKs want of every answer.
#[test]
fn one_connection_serves_many() {
    let always = Chance::ALWAYS;
    for net in [NetOptions::default(), NetOptions { split: always, short_read: always, ..NetOptions::default() }] {
        let world = World::with(net);
        world.sim.block_on(async {
            let mut conn = world.connect().await;
            for len in [0, 1, 100, 5_000, 70_000, 300_000] {
                let body = pattern(len);
                let answer = conn.post("/echo", &body).await;
                assert_eq!((answer.status, answer.body == body), (200, true), "{len} bytes");
                assert_eq!(answer.header("x-path"), Some("/echo"));
                assert!(answer.header("date").unwrap().ends_with("2023 22:13:20 GMT"), "{}", answer.head);
                assert!(answer.header("connection").is_none());
            }
            conn.send("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n").await;
            assert_eq!(conn.answer().await.unwrap().status, 404);
            conn.send("HEAD /big/10 HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let head = conn.head().await.unwrap();
            assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
            assert_eq!(conn.post("/len", b"after HEAD").await.text(), "10 10");
            conn.send("POST /len HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
            let last = conn.answer().await.unwrap();
            assert_eq!((last.text(), last.header("connection")), ("0 0", Some("close")));
            assert!(conn.rest().await.is_empty());
        });
    }
}

/// Goal: requests sent without waiting are answered in their order.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let world = World::new();
    world.sim.block_on(async {
        let mut conn = world.connect().await;
        let bodies: Vec<_> = (0..300).map(|number| format!("{number}").repeat(number % 50 + 1)).collect();
        let requests: Vec<u8> = bodies.iter().flat_map(|body| post("/echo", body.as_bytes())).collect();
        assert!(conn.send(&requests).await);
        for body in &bodies {
            assert_eq!(conn.answer().await.unwrap().text(), body);
        }
    });
}

/// Goal: a chunked body is one body for the handler; its length need not be known, and it grows past what is free.
#[test]
fn chunked_bodies() {
    let world = World::new();
    world.sim.block_on(async {
        let mut conn = world.connect().await;
        for chunk in [1, 1_000, 200_000] {
            let body = pattern(3 * chunk);
            conn.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for chunk in body.chunks(chunk) {
                conn.send(format!("{:x}\r\n", chunk.len())).await;
                conn.send(chunk).await;
                conn.send("\r\n").await;
            }
            conn.send("0\r\n\r\n").await;
            assert!(conn.answer().await.unwrap().body == body);
        }
        assert_eq!(world.worker.receive_budget.free(), millstream::limits::RECEIVE_BUDGET_BYTES);
    });
}

/// Goal: a client that asks whether it may send its body is told so, and not when the answer is no.
#[test]
fn expect_continue() {
    let world = World::new();
    world.sim.block_on(async {
        let mut conn = world.connect().await;
        conn.send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
        assert_eq!(conn.head().await.unwrap().status, 100);
        conn.send("hello").await;
        assert_eq!(conn.answer().await.unwrap().text(), "hello");
        conn.send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n").await;
        assert_eq!(conn.answer().await.unwrap().status, 413);
    });
}

/// Goal: compressed bodies are handed over as what they contain, with what was sent beside it; unknown encodings and damage are
/// left for the handler to find.
#[test]
fn compressed_bodies() {
    let world = World::new();
    world.sim.block_on(async {
        let mut conn = world.connect().await;
        let plain = pattern(400_000);
        let level = Compression::default();
        let mut gzip = GzEncoder::new(Vec::new(), level);
        gzip.write_all(&plain).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), level);
        zlib.write_all(&plain).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), level);
        raw.write_all(&plain).unwrap();
        let sent = [("gzip", gzip.clone()), ("deflate", zlib.finish().unwrap()), ("deflate", raw.finish().unwrap())];
        let request = |path: &str, encoding: &str, body: &[u8]| {
            let head = "HTTP/1.1\r\nHost: h\r\nContent-Encoding:";
            let head = format!("POST {path} {head} {encoding}\r\nContent-Length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        for (encoding, body) in sent {
            conn.send(request("/echo", encoding, &body)).await;
            assert!(conn.answer().await.unwrap().body == plain, "{encoding}");
            conn.send(request("/len", encoding, &body)).await;
            assert_eq!(conn.answer().await.unwrap().text(), format!("{} {}", plain.len(), body.len()));
        }
        for (encoding, body) in [("br", &gzip[..]), ("gzip", &gzip[..gzip.len() / 2]), ("gzip", b"no"), ("gzip", b"")] {
            conn.send(request("/echo", encoding, body)).await;
            assert_eq!(conn.answer().await.unwrap().body, body);
        }
        assert_eq!(world.worker.receive_budget.free(), millstream::limits::RECEIVE_BUDGET_BYTES);
    });
}

/// Goal: a client that has ended its own direction still gets the answers to what it asked.
#[test]
fn half_closed_clients_get_their_answers() {
    use millstream::runtime::WriteHalf;
    let world = World::new();
    world.sim.block_on(async {
        let mut conn = world.connect().await;
        conn.send([post("/wait", b""), post("/echo", b"second")].concat()).await;
        conn.write.finish();
        world.sleep_ms(100).await;
        world.probe.go();
        assert_eq!(conn.answer().await.unwrap().text(), "waited");
        assert_eq!(conn.answer().await.unwrap().text(), "second");
        assert!(conn.rest().await.is_empty());
    });
}

/// Goal: events arrive one by one while they are made; when the client goes, their maker learns of it.
#[test]
fn streams_of_events() {
    let world = World::new();
    world.sim.block_on(async {
        let mut conn = world.connect().await;
        conn.send("POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
        let head = conn.head().await.unwrap();
        assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")));
        let begun = world.sim.now();
        for number in 0..20 {
            assert_eq!(conn.chunk().await.unwrap(), format!("event{number:5}").into_bytes());
        }
        assert!(world.sim.now().since(begun) < 400_000, "events wait for each other");
        assert_eq!(world.probe.gone.get(), 0);
        drop(conn);
        world.until(|| world.probe.gone.get() == 1).await;
        world.until(|| world.worker.connections.get() == 0).await;
    });
}

/// Goal: what is not HTTP is refused or closed on, in bounded time, and costs nobody else anything.
#[test]
fn garbage() {
    let world = World::new();
    world.sim.block_on(async {
        let long = format!("POST / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(200_000));
        let many = format!("POST / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(20_000));
        let bad: &[(&[u8], &str)] = &[
            (b"\r\n\r\n\r\n", ""),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n", "400"),
            (b"GET\r\n\r\n", "400"),
            (b"POST / HTTP/9.9\r\n\r\n", "400"),
            (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", "400"),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"),
            (b"POST /echo HTTP/1.1\r\nno colon\r\n\r\n", "400"),
            (b"PRI * HTTP/1.1\r\n\r\n", "404"),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "400"),
            (long.as_bytes(), "431"),
            (many.as_bytes(), "431"),
            // A TLS handshake where there is no TLS.
            (b"\x16\x03\x01\x00\x05hello", ""),
        ];
        for (bytes, expected) in bad {
            let mut conn = world.connect().await;
            conn.send(bytes).await;
            millstream::runtime::WriteHalf::finish(&conn.write);
            let said = String::from_utf8(conn.rest().await).unwrap();
            let status = said.strip_prefix("HTTP/1.1 ").map_or("", |rest| &rest[..3]);
            assert_eq!(
                status,
                *expected,
                "{:?} for {:?}",
                said,
                String::from_utf8_lossy(&bytes[..bytes.len().min(60)])
            );
        }
        world.until(|| world.worker.connections.get() == 0).await;
        assert_eq!(world.connect().await.post("/echo", b"still here").await.text(), "still here");
    });
}

/// Goal: a client that goes in the middle of a head, of a body or of an answer leaves nothing behind.
#[test]
fn truncated_requests() {
    let world = World::new();
    world.sim.block_on(async {
        let whole = post("/echo", &pattern(300_000));
        for len in [1, 10, 40, 60, 1_000, 100_000, whole.len() - 1, whole.len()] {
            let mut conn = world.connect().await;
            conn.send(&whole[..len]).await;
            drop(conn);
        }
        let before = world.probe.begun.get();
        world.until(|| world.worker.connections.get() == 0).await;
        assert_eq!(world.probe.ended.get(), world.probe.begun.get());
        assert!(before <= 1, "only the whole one is handed over");
        assert_eq!(world.worker.receive_budget.free(), millstream::limits::RECEIVE_BUDGET_BYTES);
        // Its client goes while it is carried out: it learns of that no later than with the next word.
        let mut conn = world.connect().await;
        conn.send(post("/wait", b"")).await;
        world.until(|| world.probe.begun.get() > world.probe.ended.get()).await;
        drop(conn);
        world.probe.go();
        world.until(|| world.worker.connections.get() == 0).await;
    });
}
