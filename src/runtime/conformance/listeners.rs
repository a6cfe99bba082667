//! Listening, accepting and connecting.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;

use futures_lite::future::{poll_once, zip};

use super::{Place, eventually, soon};
use crate::runtime::{Listener, ReadHalf, Runtime, TaskClass};

/// A connection has the listener as its peer; port 0 became a real one.
pub async fn connections_are_accepted<R: Runtime>(rt: &R, place: &Place) {
    let listener = rt.listen(place.listen, false).expect("a free port");
    let addr = listener.local_addr().expect("it listens");
    assert_ne!(addr.port(), 0);
    assert_eq!(addr.ip(), place.listen.ip());
    let mut ends = Vec::new();
    for _ in 0..10 {
        let (here, there) = soon(rt, "connecting", zip(rt.connect(addr), listener.accept())).await;
        let (here, there) = (here.expect("somebody listens"), there.expect("somebody connects"));
        assert_eq!(here.0.peer_addr().expect("connected"), addr);
        let peer = there.0.peer_addr().expect("connected");
        assert_eq!(peer.ip(), addr.ip());
        assert_ne!(peer, addr);
        ends.push((here, there));
    }
}

/// Several listeners share an address; every connection reaches one of them.
pub async fn shared_ports_take_all<R: Runtime>(rt: &R, place: &Place) {
    const CONNECTIONS: usize = 40;
    let first = rt.listen(place.listen, true).expect("a free port");
    let addr = first.local_addr().expect("it listens");
    let second = rt.listen(addr, true).expect("the port is shared");
    assert_eq!(second.local_addr().expect("it listens"), addr);
    let accepted = Rc::new(Cell::new(0));
    for listener in [first, second] {
        let accepted = Rc::clone(&accepted);
        rt.spawn(TaskClass::Latency, async move {
            let mut ends = Vec::new();
            while let Ok(end) = listener.accept().await {
                ends.push(end);
                accepted.set(accepted.get() + 1);
            }
        });
    }
    let mut ends = Vec::new();
    for _ in 0..CONNECTIONS {
        ends.push(soon(rt, "connecting", rt.connect(addr)).await.expect("somebody listens"));
    }
    eventually(rt, "all are accepted", async || (accepted.get() == CONNECTIONS).then_some(())).await;
}

/// A port that is not shared by both cannot be taken twice.
pub async fn a_taken_port_is_refused<R: Runtime>(rt: &R, place: &Place) {
    for (theirs, ours) in [(false, false), (true, false), (false, true)] {
        let holder = rt.listen(place.listen, theirs).expect("a free port");
        let addr = holder.local_addr().expect("it listens");
        let refused = rt.listen(addr, ours).err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::AddrInUse), "shared by them: {theirs}, by us: {ours}");
    }
}

/// An accept that is dropped before it resolves takes no connection with it.
pub async fn dropped_accepts_lose_nothing<R: Runtime>(rt: &R, place: &Place) {
    let listener = rt.listen(place.listen, false).expect("a free port");
    let addr = listener.local_addr().expect("it listens");
    for _ in 0..5 {
        assert!(poll_once(listener.accept()).await.is_none());
        rt.yield_now().await;
    }
    let (here, _) = soon(rt, "connecting", rt.connect(addr)).await.expect("somebody listens");
    for _ in 0..50 {
        // Whatever the dropped one had under way is not lost either when it is dropped again.
        if let Some(end) = poll_once(listener.accept()).await {
            end.expect("somebody connected");
            return;
        }
        rt.yield_now().await;
    }
    soon(rt, "accepting", listener.accept()).await.expect("somebody connected");
    drop(here);
}

/// A port is free again soon after its listener is gone, though connections live on; connecting to it is refused.
pub async fn a_dropped_listener_frees_its_port<R: Runtime>(rt: &R, place: &Place) {
    let listener = rt.listen(place.listen, false).expect("a free port");
    let addr = listener.local_addr().expect("it listens");
    let (here, there) = soon(rt, "connecting", zip(rt.connect(addr), listener.accept())).await;
    assert!(poll_once(listener.accept()).await.is_none());
    drop(listener);
    let refused = eventually(rt, "nobody listens", async || rt.connect(addr).await.err()).await;
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let again = eventually(rt, "the port is free", async || rt.listen(addr, false).ok()).await;
    assert_eq!(again.local_addr().expect("it listens"), addr);
    drop((here, there));
}
