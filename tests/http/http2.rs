//! HTTP/2 with prior knowledge, as the AWS SDKs speak it without TLS.

use bytes::BytesMut;
use millstream::limits::{HTTP2_STREAMS_MAX, OUTBOX_BYTES_MAX};
use millstream::sim::{Chance, NetOptions};

use crate::frames::{Client, DATA, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS};
use crate::frames::{frame, headers, setting, window_update};
use crate::world::{Conn, World, pattern};

/// Goal: after the preface our settings are acknowledged once, theirs allow a stream per shard, a ping is answered, and
/// requests are served on the same connection however the bytes are cut.
#[test]
fn prefaces_settings_and_pings() {
    let always = Chance::ALWAYS;
    for net in [NetOptions::default(), NetOptions { split: always, short_read: always, ..NetOptions::default() }] {
        let world = World::with(net);
        world.sim.block_on(async {
            let mut client = Client::new(world.connect().await, &[]).await;
            for len in [0, 1, 1_000, 100_000] {
                let body = pattern(len);
                let stream = client.post("/echo", &body).await;
                let answer = client.answer(stream).await;
                assert_eq!((answer.status, answer.body == body), (200, true), "{len} bytes");
            }
            client.conn.send(frame(PING, 0, 0, b"8 bytes.")).await;
            while client.pongs == 0 {
                assert!(client.turn().await);
            }
            let stream = client.post("/nothing", b"").await;
            assert_eq!(client.answer(stream).await.status, 404);
            assert_eq!((client.acks, client.pongs, client.streams_max), (1, 1, HTTP2_STREAMS_MAX));
        });
    }
}

/// Goal: the largest body arrives through the windows, and one that is larger is refused while others go on.
#[test]
fn large_bodies() {
    let world = World::new();
    world.sim.block_on(async {
        let mut client = Client::new(world.connect().await, &[]).await;
        let body = pattern(14 << 20);
        let stream = client.post("/len", &body).await;
        let answer = client.answer(stream).await;
        assert_eq!(answer.body, format!("{0} {0}", body.len()).into_bytes());
        let stream = client.begin("/len", &[("content-length", "99999999")], 0).await;
        client.send_body(stream, &body).await;
        assert_eq!(client.answer(stream).await.status, 413);
        // Its length is not known until it is too long.
        let stream = client.begin("/len", &[], 0).await;
        client.send_body(stream, &pattern(17 << 20)).await;
        assert_eq!(client.answer(stream).await.status, 413);
        let stream = client.post("/echo", b"after all that").await;
        assert_eq!(client.answer(stream).await.body, b"after all that");
        assert_eq!(world.worker.receive_budget.free(), millstream::limits::RECEIVE_BUDGET_BYTES);
    });
}

/// Goal: many streams at a time are answered independently: those that wait hold up nobody.
#[test]
fn streams_do_not_wait_for_each_other() {
    let world = World::new();
    world.sim.block_on(async {
        let mut client = Client::new(world.connect().await, &[]).await;
        let mut waiting = Vec::new();
        for _ in 0..500 {
            waiting.push(client.post("/wait", b"x").await);
        }
        for number in 0..100 {
            let stream = client.post("/echo", format!("{number}").as_bytes()).await;
            assert_eq!(client.answer(stream).await.body, format!("{number}").into_bytes());
        }
        assert!(waiting.iter().all(|stream| !client.answers.contains_key(stream)));
        world.probe.go();
        for stream in waiting {
            assert_eq!(client.answer(stream).await.body, b"waited");
        }
    });
}

/// Goal: the client's windows are honoured to the byte, and a client that gives none back is held to a bounded number of
/// large answers.
#[test]
fn windows_are_honoured_and_memory_is_bounded() {
    const WINDOW: u32 = 100_000;
    const LEN: usize = 3 << 20;
    let world = World::new();
    world.sim.block_on(async {
        let settings = setting(4, WINDOW);
        let mut client = Client::new(world.connect().await, &settings).await;
        client.reads = false;
        client.conn.send(window_update(0, (1 << 30) - 65_535)).await;
        let mut streams = Vec::new();
        for _ in 0..100 {
            streams.push(client.post(&format!("/big/{LEN}"), b"").await);
        }
        world.sleep_ms(5_000).await;
        let made = world.probe.ended.get();
        assert!(made * LEN >= OUTBOX_BYTES_MAX, "{made} answers were made");
        assert!(made <= OUTBOX_BYTES_MAX / LEN + 6, "{made} answers were made");
        assert!(world.probe.making_max.get() <= 4);
        while client.answers.values().map(|answer| answer.body.len()).sum::<usize>() < made * WINDOW as usize {
            assert!(client.turn().await);
        }
        assert!(client.answers.values().all(|answer| answer.body.len() <= WINDOW as usize && !answer.ended));
        // From now on it reads.
        client.reads = true;
        let updates = client.answers.keys().flat_map(|stream| window_update(*stream, WINDOW)).collect::<Vec<_>>();
        client.conn.send(updates).await;
        for stream in streams {
            let answer = client.answer(stream).await;
            assert_eq!((answer.status, answer.body.len()), (200, LEN));
        }
    });
}

/// Goal: a request whose stream is reset is not carried on with; a stream of events ends with its stream, the others go on.
#[test]
fn resets_end_requests() {
    let world = World::new();
    world.sim.block_on(async {
        let mut client = Client::new(world.connect().await, &[]).await;
        let waiting = client.post("/wait", b"").await;
        let (one, two) = (client.post("/stream", b"").await, client.post("/stream", b"").await);
        world.until(|| world.probe.begun.get() == 3 && world.probe.streams.get() == 2).await;
        client.conn.send(frame(RST_STREAM, 0, waiting, &8_u32.to_be_bytes())).await;
        world.until(|| world.probe.ended.get() == 3).await;
        client.conn.send(frame(RST_STREAM, 0, one, &8_u32.to_be_bytes())).await;
        world.until(|| world.probe.gone.get() == 1).await;
        while client.answers.get(&two).is_none_or(|answer| answer.body.len() < 300) {
            assert!(client.turn().await);
        }
        assert!(client.answers[&two].body.starts_with(b"event    0event    1"));
        drop(client);
        world.until(|| world.probe.gone.get() == 2).await;
        world.until(|| world.worker.connections.get() == 0).await;
    });
}

/// Goal: thousands of streams of events on one connection, as a consumer of many shards has them, all get their events.
#[test]
fn a_stream_for_every_shard() {
    const STREAMS: u32 = 2_000;
    let world = World::new();
    world.sim.block_on(async {
        let mut client = Client::new(world.connect().await, &[]).await;
        for _ in 0..STREAMS {
            client.post("/stream", b"").await;
        }
        let is_served = |client: &Client| {
            client.answers.len() == STREAMS as usize && client.answers.values().all(|answer| answer.body.len() >= 30)
        };
        while !is_served(&client) {
            for _ in 0..1_000 {
                assert!(client.turn().await);
            }
        }
    });
}

/// Goal: a client that says it goes ends the connection itself, once it has read its answers: one that is ended by the node can
/// lose what it has received and not read. A client that does not end it is ended, if later.
#[test]
fn who_says_it_goes_ends_the_connection() {
    for goes in [true, false] {
        let world = World::new();
        world.sim.block_on(async {
            let mut client = Client::new(world.connect().await, &[]).await;
            let stream = client.post("/echo", b"the last").await;
            client.conn.send(frame(GOAWAY, 0, 0, &[0; 8])).await;
            assert_eq!(client.answer(stream).await.body, b"the last");
            let ended = async {
                client.rest().await;
                true
            };
            let waited = async {
                world.sleep_ms(500).await;
                false
            };
            assert!(!futures_lite::future::or(ended, waited).await, "the node ended the connection");
            assert_eq!(world.worker.connections.get(), 1);
            if goes {
                drop(client);
                world.until(|| world.worker.connections.get() == 0).await;
            } else {
                world.until(|| world.worker.connections.get() == 0).await;
                client.rest().await;
            }
        });
    }
}

/// Goal: a client that breaks the protocol is told and closed on, never more than that.
#[test]
fn garbage() {
    let world = World::new();
    world.sim.block_on(async {
        let one = 1_u32.to_be_bytes();
        let bad: Vec<(&str, Vec<u8>)> = vec![
            ("text", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()),
            ("a frame too long", frame(DATA, 0, 1, &vec![0; 257 << 10])),
            ("data on no stream", frame(DATA, 0, 0, b"x")),
            ("data on an idle stream", frame(DATA, 0, 7, b"x")),
            ("an even stream", headers(2, "POST", "/", &[], END_STREAM)),
            ("a broken block", frame(HEADERS, 5, 1, &[0xff; 30])),
            ("no path", frame(HEADERS, 5, 1, &[0x83])),
            ("a window of nothing", window_update(0, 0)),
            ("a window too large", [window_update(0, 1 << 30), window_update(0, (1 << 30) + 5)].concat()),
            ("a short ping", frame(PING, 0, 0, b"short")),
            ("settings that are none", frame(SETTINGS, 0, 0, b"12345")),
            ("settings on a stream", frame(SETTINGS, 0, 1, &[])),
            ("a reset of an idle stream", frame(RST_STREAM, 0, 9, &one)),
            ("half a frame", frame(GOAWAY, 0, 0, &[0; 50])[..20].to_vec()),
            ("a continuation of nothing", frame(9, 4, 1, b"x")),
        ];
        for (what, bytes) in bad {
            let mut client = Client::new(world.connect().await, &[]).await;
            client.conn.send(&bytes).await;
            millstream::runtime::WriteHalf::finish(&client.conn.write);
            client.rest().await;
            assert!(client.answers.values().all(|answer| answer.status != 200), "{what}");
        }
        // No preface follows the preface.
        let mut conn = world.connect().await;
        conn.send([PREFACE, PREFACE].concat()).await;
        conn.rest().await;
        world.until(|| world.worker.connections.get() == 0).await;
        let mut client = Client::new(world.connect().await, &[]).await;
        let stream = client.post("/echo", b"still here").await;
        assert_eq!(client.answer(stream).await.body, b"still here");
    });
}

/// Goal: resets without end, as an attack sends them, end the connection instead of the node.
#[test]
fn rapid_resets() {
    let world = World::new();
    world.sim.block_on(async {
        let mut client = Client::new(world.connect().await, &[]).await;
        let attack: Vec<u8> = (0..20_000_u32)
            .flat_map(|number| {
                let stream = 2 * number + 1;
                [headers(stream, "POST", "/wait", &[], END_STREAM), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
            })
            .flatten()
            .collect();
        let Conn { read, mut write, .. } = client.conn;
        client.conn = Conn { read, write: world.connect().await.write, buffer: BytesMut::new() };
        let sending = async {
            use millstream::runtime::WriteHalf;
            // May fail: that is the point.
            let _ = write.write_all(&mut [std::io::IoSlice::new(&attack)]).await;
        };
        futures_lite::future::zip(sending, client.rest()).await;
        assert!(client.goaway.is_some_and(|code| code != 0), "{:?}", client.goaway);
        drop((client, write));
        world.until(|| world.worker.connections.get() == 0).await;
        assert_eq!(world.probe.begun.get(), world.probe.ended.get());
    });
}
