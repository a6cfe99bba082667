//! Mailboxes, both ends in one worker. Between threads, each implementation has tests of its own.

use futures_lite::future::{poll_once, zip};

use super::{Place, soon, woken_by};
use crate::runtime::{ConnectedReceiver, ConnectedSender, Receiver, Runtime, Sender};

type Tx<R, T> = <<R as Runtime>::Sender<T> as Sender<T>>::Connected;
type Rx<R, T> = <<R as Runtime>::Receiver<T> as Receiver<T>>::Connected;

async fn connected<R: Runtime, T: Send + 'static>(rt: &R, capacity: usize) -> (Tx<R, T>, Rx<R, T>) {
    let (tx, rx) = R::mailbox::<T>(capacity);
    soon(rt, "both ends connect", zip(tx.connect(), rx.connect())).await
}

/// First in, first out, through a mailbox smaller than what goes through it.
pub async fn messages_arrive_in_order<R: Runtime>(rt: &R, _: &Place) {
    let (tx, rx) = connected::<R, u32>(rt, 3).await;
    let sending = async {
        for n in 0..1_000 {
            tx.send(n).await.expect("the receiver is there");
        }
    };
    let receiving = async {
        for n in 0..1_000 {
            assert_eq!(rx.recv().await, Some(n));
        }
    };
    soon(rt, "1,000 messages", zip(sending, receiving)).await;
}

/// It holds as many as it was made for, and gives the next one back.
pub async fn the_bound_holds<R: Runtime>(rt: &R, _: &Place) {
    for capacity in [1, 3, 8] {
        let (tx, rx) = connected::<R, String>(rt, capacity).await;
        for n in 0..capacity {
            tx.try_send(n.to_string()).expect("there is room");
        }
        assert_eq!(tx.try_send("one too many".to_owned()), Err("one too many".to_owned()));
        assert_eq!(soon(rt, "receiving", rx.recv()).await.as_deref(), Some("0"));
        tx.try_send("now".to_owned()).expect("one was taken");
        assert!(tx.try_send("full again".to_owned()).is_err());
    }
}

/// Sending to a full one waits until something is taken, and a send that is given up sends nothing.
pub async fn a_full_one_waits_for_room<R: Runtime>(rt: &R, _: &Place) {
    let (tx, rx) = connected::<R, u32>(rt, 2).await;
    tx.try_send(1).expect("there is room");
    tx.try_send(2).expect("there is room");
    assert!(poll_once(tx.send(99)).await.is_none());
    let taking = async || assert_eq!(rx.recv().await, Some(1));
    woken_by(rt, "the waiting send", tx.send(3), taking).await.expect("there is room");
    assert_eq!(soon(rt, "receiving", rx.recv()).await, Some(2));
    assert_eq!(soon(rt, "receiving", rx.recv()).await, Some(3));
    assert!(poll_once(rx.recv()).await.is_none());
}

/// Once the sender is gone, what is left is received, then `None`; a receiver that waits learns it.
pub async fn closing_by_the_sender<R: Runtime>(rt: &R, _: &Place) {
    let (tx, rx) = connected::<R, u32>(rt, 4).await;
    tx.try_send(1).expect("there is room");
    tx.try_send(2).expect("there is room");
    drop(tx);
    for expected in [Some(1), Some(2), None, None] {
        assert_eq!(soon(rt, "receiving", rx.recv()).await, expected);
    }
    let (tx, rx) = connected::<R, u32>(rt, 4).await;
    assert_eq!(woken_by(rt, "the waiting receiver", rx.recv(), async || drop(tx)).await, None);
}

/// Once the receiver is gone, messages come back, also to a sender that waits for room.
pub async fn closing_by_the_receiver<R: Runtime>(rt: &R, _: &Place) {
    let (tx, rx) = connected::<R, u32>(rt, 4).await;
    drop(rx);
    assert_eq!(tx.try_send(1), Err(1));
    assert_eq!(soon(rt, "sending", tx.send(2)).await, Err(2));
    let (tx, rx) = connected::<R, u32>(rt, 1).await;
    tx.try_send(1).expect("there is room");
    assert_eq!(woken_by(rt, "the waiting sender", tx.send(2), async || drop(rx)).await, Err(2));
}

/// Connecting resolves when both ends have come, or when one never will.
pub async fn both_must_connect<R: Runtime>(rt: &R, _: &Place) {
    let (tx, rx) = R::mailbox::<u32>(1);
    let mut connecting = Box::pin(tx.connect());
    assert!(poll_once(&mut connecting).await.is_none(), "the receiver is not there yet");
    let (tx, rx) = soon(rt, "both ends connect", zip(connecting, rx.connect())).await;
    tx.try_send(7).expect("there is room");
    assert_eq!(soon(rt, "receiving", rx.recv()).await, Some(7));

    let (tx, rx) = R::mailbox::<u32>(1);
    let tx = woken_by(rt, "the receiver never comes", tx.connect(), async || drop(rx)).await;
    assert_eq!(tx.try_send(1), Err(1));

    let (tx, rx) = R::mailbox::<u32>(1);
    drop(tx);
    let rx = soon(rt, "the sender never comes", rx.connect()).await;
    assert_eq!(soon(rt, "receiving", rx.recv()).await, None);
}

/// A receiver may be polled and dropped any number of times before a message comes: as one branch of a select is.
pub async fn waiting_often_costs_nothing<R: Runtime>(rt: &R, _: &Place) {
    let (tx, rx) = connected::<R, u32>(rt, 1).await;
    for _ in 0..70_000 {
        assert!(poll_once(rx.recv()).await.is_none());
    }
    let mut waiting = Box::pin(rx.recv());
    for _ in 0..70_000 {
        assert!(poll_once(&mut waiting).await.is_none());
    }
    let sending = async || tx.try_send(1).expect("there is room");
    assert_eq!(woken_by(rt, "the waiting receiver", waiting, sending).await, Some(1));
}
