//! Streams between hosts.

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice};

use bytes::BytesMut;
use futures_lite::future::zip;

use super::*;
use crate::runtime::{Listener, ReadHalf, WriteHalf};

type Ends = (SimReadHalf, SimWriteHalf);

struct Pair {
    sim: Sim,
    hosts: [HostId; 2],
    client: Ends,
    server: Ends,
}

fn pair(seed: u64, net: NetOptions) -> Pair {
    let sim = Sim::new(seed, SimOptions { net, ..SimOptions::default() });
    let hosts = [sim.host("client"), sim.host("server")];
    let (client, server) = (sim.runtime(hosts[0]), sim.runtime(hosts[1]));
    let listener = server.listen(([0, 0, 0, 0], 80).into(), false).expect("a free port");
    let addr = (sim.ip(hosts[1]), 80).into();
    let (client, server) = sim.block_on(zip(client.connect(addr), listener.accept()));
    Pair { sim, hosts, client: client.expect("it listens"), server: server.expect("somebody connects") }
}

async fn send(writer: &mut SimWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(&mut [IoSlice::new(bytes)]).await
}

/// Goal: bytes keep their order whatever the delays and pieces; reads come in pieces that differ from the writes.
#[test]
fn order_is_kept() {
    let mut pieces = std::collections::BTreeSet::new();
    for seed in 0..10 {
        let net = NetOptions { delay: Chance::percent(30), ..NetOptions::default() };
        let Pair { sim, client: (_r, mut writer), server: (mut reader, _w), .. } = pair(seed, net);
        let bytes: Vec<u8> = (0..20_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
        let sending = async {
            for part in bytes.chunks(1_000) {
                send(&mut writer, part).await.expect("open");
            }
        };
        let receiving = async {
            let mut all = BytesMut::with_capacity(bytes.len());
            while all.len() < bytes.len() {
                pieces.insert(reader.read(&mut all).await.expect("open"));
            }
            all
        };
        let ((), all) = sim.block_on(zip(sending, receiving));
        assert!(all == bytes, "seed {seed}");
    }
    assert!(pieces.len() > 20, "{pieces:?}");
}

/// Goal: a writer whose peer does not read waits at the window, and goes on when the peer reads.
#[test]
fn writers_feel_back_pressure() {
    const WINDOW: usize = 10_000;
    let Pair { sim, hosts, client: (_r, mut writer), server: (mut reader, _w) } =
        pair(1, NetOptions { buffer_bytes: WINDOW, ..NetOptions::default() });
    let sent = Rc::new(Cell::new(0));
    let count = Rc::clone(&sent);
    sim.spawn(hosts[0], async move {
        for _ in 0..40 {
            send(&mut writer, &[1; 1_000]).await.expect("open");
            count.set(count.get() + 1_000);
        }
    });
    assert!(!sim.run_until(|| sent.get() > WINDOW, Duration::from_secs(60)));
    assert_eq!(sent.get(), WINDOW);
    let received = sim.block_on(async {
        let mut all = BytesMut::with_capacity(40_000);
        while let Ok(1..) = reader.read(&mut all).await {
            assert!(sent.get() <= all.len() + WINDOW);
            if all.len() == 40_000 {
                break;
            }
        }
        all.len()
    });
    assert_eq!((received, sent.get()), (40_000, 40_000));
}

/// Goal: a writer that waits for room does not wait for ever when the other side ends without having read everything.
#[test]
fn writers_learn_that_nobody_reads_any_more() {
    let net = NetOptions { buffer_bytes: 1_000, ..NetOptions::default() };
    let Pair { sim, hosts, client: (_reader, mut writer), server: (_unread, end) } = pair(1, net);
    let ending = async {
        sim.runtime(hosts[1]).sleep(Duration::from_secs(1)).await;
        end.shutdown();
    };
    let (sent, ()) = sim.block_on(zip(send(&mut writer, &[7; 5_000]), ending));
    assert_eq!(sent.expect_err("nobody reads it").kind(), ErrorKind::ConnectionReset);
}

/// Goal: nothing passes a partition, and all of it after it heals; connecting into one times out.
#[test]
fn partitions_hold_and_heal() {
    let Pair { sim, hosts, client: (_r, mut writer), server: (mut reader, _w) } = pair(4, NetOptions::default());
    sim.partition(hosts[1], hosts[0], true);
    sim.block_on(send(&mut writer, b"held")).expect("it is only the kernel's so far");
    let read = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&read);
    sim.spawn(hosts[1], async move {
        let mut bytes = BytesMut::with_capacity(8);
        while let Ok(1..) = reader.read(&mut bytes).await {
            into.replace(bytes.to_vec());
        }
    });
    let timed_out = sim.block_on(sim.runtime(hosts[0]).connect((sim.ip(hosts[1]), 80).into()));
    assert_eq!(timed_out.err().map(|error| error.kind()), Some(ErrorKind::TimedOut));
    assert!(read.borrow().is_empty());
    sim.partition(hosts[0], hosts[1], false);
    assert!(sim.run_until(|| *read.borrow() == b"held", Duration::from_secs(1)));
}

/// Goal: a cut ends both ends with a reset, what arrived before can still be read, and only as many are cut as asked.
#[test]
fn cuts_reset_both_ends() {
    let Pair { sim, hosts, client: (mut client, mut writer), server: (mut server, _w) } =
        pair(4, NetOptions { short_read: Chance::NEVER, ..NetOptions::default() });
    sim.block_on(send(&mut writer, b"early")).expect("open");
    sim.run_for(Duration::from_secs(1));
    assert_eq!(sim.cut_connections(hosts[1], Chance::NEVER), 0);
    assert_eq!(sim.cut_connections(hosts[1], Chance::ALWAYS), 1);
    let mut bytes = BytesMut::with_capacity(100);
    assert_eq!(sim.block_on(server.read(&mut bytes)).expect("arrived before"), 5);
    for reader in [&mut server, &mut client] {
        let end = sim.block_on(reader.read(&mut bytes)).err().map(|error| error.kind());
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
    assert!(sim.block_on(send(&mut writer, b"late")).is_err());
}

/// Goal: loopback is the own host: another host's listener on it is not reached; foreign addresses cannot be taken.
#[test]
fn addresses_belong_to_hosts() {
    let sim = Sim::new(1, SimOptions::default());
    let (one, two) = (sim.runtime(sim.host("one")), sim.runtime(sim.host("two")));
    let listener = one.listen(([127, 0, 0, 1], 80).into(), false).expect("a free port");
    assert!(sim.block_on(one.connect(([127, 0, 0, 1], 80).into())).is_ok());
    for addr in [(sim.ip(one.host()), 80).into(), ([127, 0, 0, 1], 80).into()] {
        let refused = sim.block_on(two.connect(addr)).err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::ConnectionRefused), "{addr}");
    }
    let foreign = two.listen((sim.ip(one.host()), 80).into(), false).err().map(|error| error.kind());
    assert_eq!(foreign, Some(ErrorKind::AddrNotAvailable));
    let nowhere = sim.block_on(two.connect(([10, 9, 9, 9], 80).into())).err().map(|error| error.kind());
    assert_eq!(nowhere, Some(ErrorKind::HostUnreachable));
    drop(listener);
}

/// Goal: shared listeners each get a part of the connections; a full backlog makes connecting wait.
#[test]
fn listeners_share_and_fill() {
    let net = NetOptions { backlog: 4, ..NetOptions::default() };
    let sim = Sim::new(1, SimOptions { net, ..SimOptions::default() });
    let rt = sim.runtime(sim.host("node"));
    let addr = ([127, 0, 0, 1], 80).into();
    let listeners = [rt.listen(addr, true).expect("free"), rt.listen(addr, true).expect("shared")];
    let mut ends = Vec::new();
    for _ in 0..8 {
        ends.push(sim.block_on(rt.connect(addr)).expect("room for it"));
    }
    let ninth = sim.block_on(rt.connect(addr)).err().map(|error| error.kind());
    assert_eq!(ninth, Some(ErrorKind::TimedOut));
    for listener in &listeners {
        for _ in 0..4 {
            ends.push(sim.block_on(listener.accept()).expect("four each"));
        }
    }
}
