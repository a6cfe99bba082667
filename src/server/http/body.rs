//! Bodies of answers: whole, or made while they are sent.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::turns::{Piece, Turns};

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// All of it, in pieces.
    Parts(Vec<Bytes>),
    /// What a [`Sender`] sends, until it is dropped.
    Stream(Receiver),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(bytes.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Whole(Bytes::from_static(text.as_bytes()))
    }
}

/// A body that is made while it is sent, on the connection of `turns`. It holds one piece, and what the client has not taken
/// of those before it counts to the connection. Before a large piece is made, a turn is to be taken.
#[must_use]
pub fn stream(turns: &Turns) -> (Sender, Body) {
    let channel = Rc::new(Channel::default());
    let key = turns.enter(&channel);
    let receiver = Receiver { channel: Rc::clone(&channel), turns: turns.clone(), key };
    (Sender { channel, turns: turns.clone() }, Body::Stream(receiver))
}

/// Between who makes a body and who sends it.
#[derive(Debug, Default)]
pub(super) struct Channel {
    next: RefCell<Option<Piece>>,
    /// Nothing more is made.
    finished: Cell<bool>,
    /// Nobody takes what is made.
    gone: Cell<bool>,
    sender: RefCell<Option<Waker>>,
    receiver: RefCell<Option<Waker>>,
}

impl Channel {
    fn wake(waker: &RefCell<Option<Waker>>) {
        // Taken out first: a waker may run code that waits again.
        let waker = waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the body for both ends: what was sent is sent, no more comes.
    pub(super) fn end(&self) {
        self.finished.set(true);
        self.gone.set(true);
        Self::wake(&self.receiver);
        Self::wake(&self.sender);
    }
}

/// Makes a body. Dropping it ends the body. One task at a time may wait on it.
#[derive(Debug)]
pub struct Sender {
    channel: Rc<Channel>,
    turns: Turns,
}

impl Sender {
    /// Waits until the connection has taken the piece before. False when nobody takes any more: the client is gone, or the
    /// node is stopping. Dropping it loses nothing.
    pub async fn room(&self) -> bool {
        self.wait(|channel| channel.next.borrow().is_none()).await
    }

    /// Waits for room and sends a piece. False when nobody takes any more.
    pub async fn send(&self, bytes: Bytes) -> bool {
        let room = self.room().await;
        if room && !bytes.is_empty() {
            *self.channel.next.borrow_mut() = Some(Piece::new(bytes, &self.turns));
            Channel::wake(&self.channel.receiver);
        }
        room
    }

    /// Whether nobody takes any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.channel.gone.get()
    }

    /// Resolves when nobody takes any more. Dropping it stops the waiting.
    pub async fn gone(&self) {
        self.wait(|_| false).await;
    }

    async fn wait(&self, until: impl Fn(&Channel) -> bool) -> bool {
        poll_fn(|cx| {
            if self.channel.gone.get() {
                return Poll::Ready(false);
            }
            if until(&self.channel) {
                return Poll::Ready(true);
            }
            *self.channel.sender.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.channel.finished.set(true);
        Channel::wake(&self.channel.receiver);
    }
}

/// What a [`Sender`] sends. Dropping it tells the sender.
#[derive(Debug)]
pub struct Receiver {
    channel: Rc<Channel>,
    turns: Turns,
    key: u64,
}

impl Receiver {
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Piece>> {
        let next = self.channel.next.take();
        if next.is_some() {
            Channel::wake(&self.channel.sender);
            return Poll::Ready(next);
        }
        if self.channel.finished.get() {
            return Poll::Ready(None);
        }
        *self.channel.receiver.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.turns.leave(self.key);
        self.channel.end();
        self.channel.next.take();
    }
}

/// A body on its way through hyper. `G` is held until it has been handed over in full.
#[derive(Debug)]
pub(super) struct Sending<G> {
    what: What,
    _held: G,
}

#[derive(Debug)]
enum What {
    Pieces(VecDeque<Piece>),
    Stream(Receiver),
}

impl<G> Sending<G> {
    /// From here on the bytes of `body` count as waiting to be sent.
    pub(super) fn new(body: Body, turns: &Turns, held: G) -> Self {
        let piece = |bytes: Bytes| (!bytes.is_empty()).then(|| Piece::new(bytes, turns));
        let what = match body {
            Body::Whole(bytes) => What::Pieces(piece(bytes).into_iter().collect()),
            Body::Parts(parts) => What::Pieces(parts.into_iter().filter_map(piece).collect()),
            Body::Stream(receiver) => What::Stream(receiver),
        };
        Self { what, _held: held }
    }
}

impl<G: Unpin> http_body::Body for Sending<G> {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        let next = match &mut self.what {
            What::Pieces(pieces) => Poll::Ready(pieces.pop_front()),
            What::Stream(receiver) => receiver.poll_next(cx),
        };
        next.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.what {
            What::Pieces(pieces) => pieces.is_empty(),
            What::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.what {
            What::Pieces(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| bytes::Buf::remaining(piece) as u64).sum())
            }
            What::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;
    use futures_lite::future::{block_on, poll_once};
    use http_body::Body as _;

    async fn next(body: &mut Sending<()>) -> Option<Vec<u8>> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        let mut piece = frame.unwrap().into_data().unwrap();
        Some(piece.copy_to_bytes(piece.remaining()).to_vec())
    }

    /// Goal: whole bodies come out as they went in, with their length, and count until they are gone.
    #[test]
    fn whole_bodies() {
        block_on(async {
            let turns = Turns::alone();
            let parts = Body::Parts(vec![Bytes::from("ab"), Bytes::new(), Bytes::from("c")]);
            let mut body = Sending::new(parts, &turns, ());
            assert_eq!((body.size_hint().exact(), turns.progress().0), (Some(3), 3));
            assert_eq!(next(&mut body).await.unwrap(), b"ab");
            assert!(!body.is_end_stream());
            assert_eq!(next(&mut body).await.unwrap(), b"c");
            assert!(body.is_end_stream());
            assert_eq!(turns.progress(), (0, 3));
            assert!(Sending::new(Body::empty(), &turns, ()).is_end_stream());
        });
    }

    /// Goal: a stream holds one piece; its sender waits for room, and dropping it ends the body.
    #[test]
    fn streams_hold_one_piece() {
        block_on(async {
            let turns = Turns::alone();
            let (sender, body) = stream(&turns);
            let mut body = Sending::new(body, &turns, ());
            assert!(sender.send(Bytes::from("one")).await);
            let mut second = Box::pin(sender.send(Bytes::from("two")));
            assert!(poll_once(&mut second).await.is_none());
            assert_eq!(turns.progress().0, 3);
            assert_eq!(next(&mut body).await.unwrap(), b"one");
            assert!(second.await);
            assert_eq!(next(&mut body).await.unwrap(), b"two");
            assert!(poll_once(next(&mut body)).await.is_none());
            drop(sender);
            assert_eq!(next(&mut body).await, None);
        });
    }

    /// Goal: a sender learns that nobody takes any more: the body was dropped, or the connection is ending, where what was
    /// sent still arrives, then the end.
    #[test]
    fn senders_learn_of_the_end() {
        block_on(async {
            let turns = Turns::alone();
            let (sender, body) = stream(&turns);
            let mut gone = Box::pin(sender.gone());
            assert!(poll_once(&mut gone).await.is_none());
            assert!(!sender.is_gone());
            drop(body);
            gone.await;
            assert!(sender.is_gone() && !sender.room().await && !sender.send(Bytes::from("x")).await);

            let (sender, body) = stream(&turns);
            let mut body = Sending::new(body, &turns, ());
            assert!(sender.send(Bytes::from("last")).await);
            turns.end_streams();
            sender.gone().await;
            assert_eq!(next(&mut body).await.unwrap(), b"last");
            assert_eq!(next(&mut body).await, None);
            drop(body);
            assert_eq!(turns.progress().0, 0);
        });
    }
}
