//! Connected ends, whoever connected them.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use futures_lite::future::{or, poll_once, zip};

use super::{Link, eventually, soon, woken_by};
use crate::runtime::room::Room;
use crate::runtime::{Reactor, ReadHalf, TaskClass, WriteHalf};

/// `len` bytes in which every position is recognisable.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

async fn send(half: &mut impl WriteHalf, bytes: &[u8]) {
    half.write_all(&mut [IoSlice::new(bytes)]).await.expect("the other end is there");
}

/// Reads exactly `len` bytes, in pieces of at most `piece`.
async fn receive(half: &mut impl ReadHalf, len: usize, piece: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(len);
    while all.len() < len {
        let mut buf = BytesMut::with_capacity(piece.min(len - all.len()));
        let n = half.read(&mut buf).await.expect("the other end is there");
        assert!(n > 0, "ended after {} of {len} bytes", all.len());
        assert_eq!(n, buf.len());
        all.extend_from_slice(&buf);
    }
    assert_eq!(all.len(), len, "a read gave more than there was room for");
    all
}

/// Bytes come out as they went in, in both directions.
pub async fn bytes_arrive_in_order<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((mut ra, mut wa), (mut rb, mut wb)) = link.pair(rt).await;
    for part in pattern(3_000).chunks(1_000) {
        send(&mut wa, part).await;
    }
    assert!(soon(rt, "reading", receive(&mut rb, 3_000, 64)).await == pattern(3_000));
    send(&mut wb, b"back").await;
    assert_eq!(soon(rt, "reading back", receive(&mut ra, 4, 64)).await, b"back");
    wa.write_all(&mut []).await.expect("nothing to send");
    wa.write_all(&mut [IoSlice::new(b""), IoSlice::new(b"")]).await.expect("nothing to send");
}

/// One write of more slices than a system call takes, some empty, and of more bytes than sockets buffer.
pub async fn big_writes_of_many_slices<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((_ra, mut wa), (mut rb, _wb)) = link.pair(rt).await;
    let bytes = pattern(24 << 20);
    let mut slices = Vec::new();
    let (mut rest, mut number) = (&bytes[..], 0_usize);
    while !rest.is_empty() {
        // From empty to 16 KiB, 5,000 and more of them.
        let len = (number * 37 % 9_973).min(rest.len());
        let (slice, tail) = rest.split_at(len);
        slices.push(IoSlice::new(slice));
        (rest, number) = (tail, number + 1);
    }
    assert!(slices.len() > 2 * 1_024);
    let sending = async { wa.write_all(&mut slices).await.expect("the other end is there") };
    let ((), received) = soon(rt, "24 MiB", zip(sending, receive(&mut rb, bytes.len(), 1 << 18))).await;
    assert!(received == bytes, "some of 24 MiB is wrong");
}

/// A pending read does not hold up writing, nor a blocked write reading.
pub async fn both_directions_at_once<R: Reactor>(rt: &R, link: &impl Link<R>) {
    const LEN: usize = 6 << 20;
    let ((mut ra, mut wa), (mut rb, mut wb)) = link.pair(rt).await;
    let bytes = pattern(LEN);
    let mut waiting = Box::pin(receive(&mut ra, 4, 4));
    assert!(poll_once(&mut waiting).await.is_none());
    send(&mut wa, b"ping").await;
    assert_eq!(soon(rt, "the ping", receive(&mut rb, 4, 4)).await, b"ping");
    send(&mut wb, b"pong").await;
    assert_eq!(soon(rt, "the pong", waiting).await, b"pong");
    // Both write more than fits before either reads.
    let both = zip(
        zip(send(&mut wa, &bytes), send(&mut wb, &bytes)),
        zip(receive(&mut ra, LEN, 1 << 16), receive(&mut rb, LEN, 1 << 16)),
    );
    let (_, (there, back)) = soon(rt, "6 MiB each way", both).await;
    assert!(there == bytes);
    assert!(back == bytes);
}

/// A read appends to what is there, fills no more than the spare capacity and does not reallocate.
pub async fn reads_fill_the_room_there_is<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((_ra, mut wa), (mut rb, _wb)) = link.pair(rt).await;
    send(&mut wa, &pattern(100)).await;
    let mut buf = BytesMut::with_capacity(64);
    buf.extend_from_slice(b"head");
    let (start, capacity) = (buf.as_ptr(), buf.capacity());
    while buf.len() < capacity {
        let before = buf.len();
        let n = soon(rt, "reading", rb.read(&mut buf)).await.expect("bytes are there");
        assert_eq!(buf.len(), before + n);
        assert_eq!((buf.as_ptr(), buf.capacity()), (start, capacity), "reallocated");
    }
    assert_eq!(&buf[..4], b"head");
    assert_eq!(buf[4..], pattern(100)[..capacity - 4]);
}

/// A read that is dropped before it resolves takes no bytes with it.
pub async fn dropped_reads_lose_nothing<R: Reactor>(rt: &R, link: &impl Link<R>) {
    const LEN: usize = 256 << 10;
    let ((_ra, mut wa), (mut rb, _wb)) = link.pair(rt).await;
    let bytes = pattern(LEN);
    let sending = async {
        for part in bytes.chunks(997) {
            send(&mut wa, part).await;
            rt.yield_now().await;
        }
    };
    let reading = async {
        let (mut buf, mut dropped) = (BytesMut::with_capacity(LEN), 0);
        while buf.len() < LEN {
            // Each read has one poll; most are dropped.
            match poll_once(rb.read(&mut buf)).await {
                Some(read) => assert!(read.expect("the other end is there") > 0),
                None => {
                    dropped += 1;
                    rt.yield_now().await;
                }
            }
        }
        (buf, dropped)
    };
    let ((), (buf, dropped)) = soon(rt, "256 KiB", zip(sending, reading)).await;
    assert!(buf == bytes, "lost or doubled");
    assert!(dropped > 0, "every read resolved at once, nothing was checked");
}

/// Once both halves of the other end are gone, what was sent is read and then 0, again and again.
pub async fn the_end_is_read_as_zero<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((ra, mut wa), (mut rb, _wb)) = link.pair(rt).await;
    send(&mut wa, b"last words").await;
    drop((ra, wa));
    assert_eq!(soon(rt, "reading", receive(&mut rb, 10, 64)).await, b"last words");
    for _ in 0..3 {
        let mut buf = BytesMut::with_capacity(8);
        assert_eq!(soon(rt, "the end", rb.read(&mut buf)).await.expect("an orderly end"), 0);
    }
}

/// Dropping one half leaves the other direction as it was.
pub async fn one_half_keeps_it_open<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((mut ra, wa), (mut rb, mut wb)) = link.pair(rt).await;
    drop(wa);
    send(&mut wb, b"hello").await;
    assert_eq!(soon(rt, "the half that is left", receive(&mut ra, 5, 5)).await, b"hello");
    let mut buf = BytesMut::with_capacity(8);
    assert!(poll_once(rb.read(&mut buf)).await.is_none(), "dropping the writing half ended the connection");

    let ((ra, mut wa), (mut rb, _wb)) = link.pair(rt).await;
    drop(ra);
    send(&mut wa, b"hello").await;
    assert_eq!(soon(rt, "the half that is left", receive(&mut rb, 5, 5)).await, b"hello");
}

/// A poll takes what there is or room for, and no more; pending, it wakes its task when that changes.
pub async fn polls_take_what_there_is<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((_ra, mut wa), (mut rb, _wb)) = link.pair(rt).await;
    let mut bytes = [0; 64];
    let reading = async |rb: &mut R::ReadHalf, bytes: &mut [u8]| {
        let mut room = Room::new(bytes);
        let n = poll_fn(|cx| rb.poll_read(cx, &mut room)).await.expect("the other end is there");
        assert_eq!(n, room.filled().len());
        n
    };
    let n = woken_by(rt, "reading", reading(&mut rb, &mut bytes), async || send(&mut wa, b"hello").await).await;
    assert!((1..=5).contains(&n));
    assert_eq!(&bytes[..n], &b"hello"[..n]);
    if n < 5 {
        assert_eq!(soon(rt, "the rest", receive(&mut rb, 5 - n, 5)).await, b"hello"[n..]);
    }
    // Empty slices are no reason to send nothing.
    let slices = [IoSlice::new(b""), IoSlice::new(b"a"), IoSlice::new(b""), IoSlice::new(b"bc")];
    let sent = soon(rt, "writing", poll_fn(|cx| wa.poll_write(cx, &slices))).await.expect("the other end is there");
    assert!((1..=3).contains(&sent));
    assert_eq!(soon(rt, "reading", receive(&mut rb, sent, 5)).await, b"abc"[..sent]);
    assert_eq!(poll_fn(|cx| wa.poll_write(cx, &[IoSlice::new(b"")])).await.expect("nothing to send"), 0);
    // More than fits: all of it arrives because each pending write is woken.
    let bytes = pattern(8 << 20);
    let writing = async {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (one, two) = rest.split_at(rest.len() / 2);
            let slices = [IoSlice::new(one), IoSlice::new(two)];
            let sent = poll_fn(|cx| wa.poll_write(cx, &slices)).await.expect("the other end is there");
            assert!(sent > 0);
            rest = &rest[sent..];
        }
    };
    let ((), received) = soon(rt, "8 MiB", zip(writing, receive(&mut rb, bytes.len(), 1 << 16))).await;
    assert!(received == bytes, "some of 8 MiB is wrong");
}

/// Finishing ends the own direction behind what was sent in it, and leaves the other one as it was.
pub async fn finishing_ends_one_direction<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((mut ra, mut wa), (mut rb, mut wb)) = link.pair(rt).await;
    let bytes = pattern(100_000);
    send(&mut wa, &bytes).await;
    wa.finish();
    wa.finish();
    assert!(wa.write_all(&mut [IoSlice::new(b"more")]).await.is_err(), "there is no more after the end");
    assert!(soon(rt, "what was sent", receive(&mut rb, bytes.len(), 1 << 16)).await == bytes);
    let mut buf = BytesMut::with_capacity(8);
    assert_eq!(soon(rt, "the end", rb.read(&mut buf)).await.expect("an orderly end"), 0);
    assert!(poll_once(ra.read(&mut buf)).await.is_none(), "the other direction has not ended");
    send(&mut wb, b"the answer").await;
    assert_eq!(soon(rt, "the answer", receive(&mut ra, 10, 64)).await, b"the answer");
    wb.finish();
    assert_eq!(soon(rt, "the other end", ra.read(&mut buf)).await.expect("an orderly end"), 0);
}

/// Shutting down ends both directions at once: the own pending read, and the other end's.
pub async fn shutdown_wakes_the_reader<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((mut ra, wa), (mut rb, _wb)) = link.pair(rt).await;
    let woken = Rc::new(Cell::new(false));
    let flag = Rc::clone(&woken);
    rt.spawn(TaskClass::Latency, async move {
        let mut buf = BytesMut::with_capacity(8);
        assert!(matches!(ra.read(&mut buf).await, Ok(0) | Err(_)), "bytes from nowhere");
        flag.set(true);
    });
    rt.sleep(Duration::from_millis(1)).await;
    assert!(!woken.get(), "there was nothing to read");
    wa.shutdown();
    eventually(rt, "the pending read ends", async || woken.get().then_some(())).await;
    let mut buf = BytesMut::with_capacity(8);
    assert!(matches!(soon(rt, "the other end", rb.read(&mut buf)).await, Ok(0) | Err(_)));
    wa.shutdown();
}

/// Writing to an end that is gone fails sooner or later, and a write that waits for room does too.
pub async fn writes_to_the_gone_fail<R: Reactor>(rt: &R, link: &impl Link<R>) {
    let ((_ra, mut wa), there) = link.pair(rt).await;
    drop(there);
    eventually(rt, "a write fails", async || wa.write_all(&mut [IoSlice::new(b"anybody?")]).await.err()).await;

    let ((_ra, mut wa), there) = link.pair(rt).await;
    let bytes = pattern(24 << 20);
    let waiting = async { wa.write_all(&mut [IoSlice::new(&bytes)]).await };
    let leaving = async {
        rt.sleep(Duration::from_millis(5)).await;
        drop(there);
        std::future::pending().await
    };
    assert!(soon(rt, "a blocked write fails", or(waiting, leaving)).await.is_err());
}
