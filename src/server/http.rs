//! The HTTP front end's transport: connections, TLS, HTTP/1.1 and HTTP/2, bodies, and bounds for all of them. What a request
//! means is its handler's affair.
//!
//! One port takes everything. The first byte tells TLS from plain text, the first 24 tell HTTP/2 from HTTP/1.1, inside TLS
//! too and whatever was agreed on in its handshake. hyper speaks HTTP; it runs on the worker's own thread:
//!
//! ```text
//! socket ── [tls] ── wire ── hyper ── request: body gathered within bounds ── handler
//!   │                                                                           │
//!   └ what is gathered leaves when the task has nothing more to do ── body <────┘
//! ```
//!
//! Bounds, apart from those of `limits`: one connection has four large answers in the making ([`Turns`]) and takes up no further
//! request while too much waits to be sent. Waiting has an end: `marks` says what each connection waits for, and all are
//! looked at once a second.

mod body;
mod date;
mod executor;
mod marks;
mod request;
mod socket;
mod tls;
mod turns;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future;
use futures_rustls::rustls::ServerConfig;
use http::header::{CONNECTION, CONTENT_ENCODING, DATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use thiserror::Error;

pub use self::body::{Body, Receiver, Sender, stream};
pub use self::turns::{Piece, Turns};

use self::body::Sending;
use self::date::DateHeader;
use self::executor::Executor;
use self::marks::{Clock, Ended, Marks, Requested};
use self::request::{Budget, Refusal};
use self::socket::Socket;
use self::tls::Tls;
use self::wire::{Version, Wire};
use crate::limits::{
    HTTP_FREE_BYTES, HTTP_HEAD_BYTES_MAX, HTTP_READ_BYTES_MAX, HTTP_REQUESTS_PER_WORKER_MAX, HTTP2_FRAME_BYTES_MAX,
    HTTP2_STREAM_WINDOW_BYTES, HTTP2_STREAMS_MAX, HTTP2_WINDOW_BYTES,
};
use crate::runtime::local::Semaphore;
use crate::runtime::{Runtime, TaskClass};
use crate::server::node::accept;
use crate::server::worker::Worker;

/// How often all connections are looked at.
const LOOK_US: u64 = 1_000_000;

/// What carries out requests: an async function of these arguments, such as
///
/// ```
/// # use std::rc::Rc;
/// # use bytes::Bytes;
/// # use http::{Response, request::Parts};
/// # use millstream::runtime::Runtime;
/// # use millstream::server::http::{Body, Turns};
/// # use millstream::server::worker::Worker;
/// async fn handle<R: Runtime>(worker: &Rc<Worker<R>>, parts: Parts, body: Bytes, turns: &Turns) -> Response<Body> {
///     Response::new(Body::from(format!("worker {}: {} bytes to {}\n", worker.id, body.len(), parts.uri).into_bytes()))
/// }
/// # fn is_handler<R: Runtime>(_: impl millstream::server::http::Handler<R>) {}
/// # fn check<R: Runtime>() { is_handler::<R>(handle) }
/// ```
///
/// `body` is decompressed; what was sent, which signatures cover, is then an extension of `parts`: [`AsSent`]. `turns` are
/// those of the connection. The future is dropped when the client goes. The header `Date` is added if it is missing.
pub trait Handler<R: Runtime>: 'static {
    /// Answers a request.
    fn handle(
        &self,
        worker: &Rc<Worker<R>>,
        parts: Parts,
        body: Bytes,
        turns: &Turns,
    ) -> impl Future<Output = Response<Body>>;
}

impl<R, F> Handler<R> for F
where
    R: Runtime,
    F: AsyncFn(&Rc<Worker<R>>, Parts, Bytes, &Turns) -> Response<Body> + 'static,
{
    async fn handle(&self, worker: &Rc<Worker<R>>, parts: Parts, body: Bytes, turns: &Turns) -> Response<Body> {
        self(worker, parts, body, turns).await
    }
}

/// A body as it was sent, where that is not how it is handed over.
#[derive(Clone, Debug)]
pub struct AsSent(pub Bytes);

/// The HTTP front end of one worker.
pub struct Front<R: Runtime, H> {
    worker: Rc<Worker<R>>,
    handler: H,
    tls: Option<Arc<ServerConfig>>,
    http1: http1::Builder,
    http2: http2::Builder<Executor<R>>,
    clock: Clock,
    connections: RefCell<BTreeMap<u64, Rc<Marks>>>,
    next: Cell<u64>,
    requests: Rc<Cell<usize>>,
    date: RefCell<DateHeader>,
}

/// Why a connection ended early.
#[derive(Debug, Error)]
enum End {
    #[error("{0}")]
    Outside(Ended),
    #[error("the node is stopping")]
    Draining,
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error("{0:?}")]
    Http(hyper::Error),
}

impl<R: Runtime, H: Handler<R>> Front<R, H> {
    /// A front end whose connections are looked at from now on.
    pub fn start(worker: &Rc<Worker<R>>, tls: Option<Arc<ServerConfig>>, handler: H) -> Rc<Self> {
        let mut http1 = http1::Builder::new();
        http1
            .auto_date_header(false)
            // A client that has ended only its own direction gets the answers to what it asked.
            .half_close(true)
            .max_header_size(HTTP_HEAD_BYTES_MAX)
            .max_buf_size(HTTP_READ_BYTES_MAX);
        let mut http2 = http2::Builder::new(Executor(worker.rt.clone()));
        http2
            .auto_date_header(false)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES_MAX)
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_header_list_size(HTTP_HEAD_BYTES_MAX as u32);
        let front = Rc::new(Self {
            worker: Rc::clone(worker),
            handler,
            tls,
            http1,
            http2,
            clock: Rc::new(Cell::new(worker.rt.now())),
            connections: RefCell::default(),
            next: Cell::new(0),
            requests: Rc::default(),
            date: RefCell::default(),
        });
        worker.rt.spawn(TaskClass::Latency, Rc::clone(&front).look());
        front
    }

    /// Serves the connections of a listener until the node begins to stop.
    pub fn listen(self: &Rc<Self>, listener: R::Listener) {
        let front = Rc::clone(self);
        let accepting = accept(Rc::clone(&self.worker), listener, move |halves| Rc::clone(&front).serve(halves));
        self.worker.rt.spawn(TaskClass::Latency, accepting);
    }

    /// Ends connections that wait too long; when the node begins to stop, tells all.
    async fn look(self: Rc<Self>) {
        let mut told = false;
        loop {
            let pause = self.worker.rt.sleep(Duration::from_micros(LOOK_US));
            if told {
                pause.await;
            } else {
                future::or(self.worker.drained(), pause).await;
            }
            self.clock.set(self.worker.rt.now());
            // Taken out first: what is woken may end and leave.
            let connections: Vec<_> = self.connections.borrow().values().cloned().collect();
            connections.iter().for_each(|marks| marks.look());
            if self.worker.is_draining() {
                if !told {
                    connections.iter().for_each(|marks| marks.drain());
                    told = true;
                } else if connections.is_empty() {
                    return;
                }
            }
        }
    }

    /// Serves a connection until it ends.
    async fn serve(self: Rc<Self>, halves: (R::ReadHalf, R::WriteHalf)) {
        if !self.worker.has_place() {
            // Without a word: nobody knows yet whether it speaks TLS.
            tracing::debug!("a connection too many was closed");
            return;
        }
        let entered = Entered::new(&self);
        let socket = Socket::new(halves, &entered.marks);
        if let Err(end) = self.converse(&entered.marks, &socket).await {
            tracing::debug!(%end, "an HTTP connection ended early");
        }
    }

    async fn converse(self: &Rc<Self>, marks: &Rc<Marks>, socket: &Rc<Socket<R>>) -> Result<(), End> {
        let result = self.speak(marks, socket).await;
        let is_ours = !matches!(result, Err(End::Outside(_) | End::Draining));
        if is_ours && marks.lingers() {
            // One of HTTP/2 is the client's to end.
            if !marks.is_framed() {
                socket.finish();
            }
            drive(marks, socket, Box::pin(poll_fn(|cx| socket.poll_discard(cx))), |_| true).await?;
        }
        result
    }

    /// Finds out what the client speaks, and speaks it until the end.
    async fn speak(self: &Rc<Self>, marks: &Rc<Marks>, socket: &Rc<Socket<R>>) -> Result<(), End> {
        let mut first = [0; wire::PREFACE.len()];
        let first_bytes = poll_fn(|cx| socket.poll_first(cx, &mut first));
        if drive(marks, socket, Box::pin(first_bytes), leave).await?? == 0 {
            return Ok(());
        }
        let tls = match &self.tls {
            Some(config) if first[0] == tls::FIRST_BYTE => {
                marks.shaking_hands();
                let accepted = Tls::accept(Arc::clone(config), socket);
                let tls = drive(marks, socket, Box::pin(accepted), leave).await??;
                marks.idle();
                Some(tls)
            }
            // Nobody would understand an answer in plain text.
            None if first[0] == tls::FIRST_BYTE => return Ok(()),
            _ => None,
        };
        let mut wire = Wire::new(socket, tls);
        let Some(version) = drive(marks, socket, Box::pin(wire.version()), leave).await?? else { return Ok(()) };
        let service = Answering { front: Rc::clone(self), marks: Rc::clone(marks), version, own: own_budget() };
        let result = match version {
            Version::One => {
                let connection = Box::pin(self.http1.serve_connection(wire, service));
                let close = |connection: Pin<&mut http1::Connection<_, _>>| {
                    connection.graceful_shutdown();
                    true
                };
                drive(marks, socket, connection, close).await?
            }
            Version::Two => {
                marks.framed();
                wire.leave_end();
                let connection = Box::pin(self.http2.serve_connection(wire, service));
                let close = |connection: Pin<&mut http2::Connection<_, _, _>>| {
                    connection.graceful_shutdown();
                    true
                };
                drive(marks, socket, connection, close).await?
            }
        };
        result.map_err(End::Http)
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        connection: &Answering<R, H>,
        held: (Requested, Counted),
    ) -> Response<Sending<(Requested, Counted)>> {
        let turns = &connection.marks.turns;
        let is_head = *request.method() == Method::HEAD;
        let mut response = match self.take_up(request, connection, &held.1).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::debug!(?refusal, "a request was refused");
                connection.marks.leave_unread();
                let mut response = Response::new(Body::empty());
                *response.status_mut() = refusal.status();
                if connection.version == Version::One {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        };
        let date = || self.date.borrow_mut().at(self.worker.rt.wall());
        response.headers_mut().entry(DATE).or_insert_with(date);
        response.map(|body| {
            // hyper sees to that for HTTP/1.1, where it matters for what follows.
            let body = if is_head && connection.version == Version::Two { Body::empty() } else { body };
            Sending::new(body, turns, held)
        })
    }

    async fn take_up(
        &self,
        request: Request<Incoming>,
        connection: &Answering<R, H>,
        counted: &Counted,
    ) -> Result<Response<Body>, Refusal> {
        let turns = &connection.marks.turns;
        if counted.is_too_many() || !turns.admit().await {
            return Err(Refusal::Overloaded);
        }
        let (mut parts, body) = request.into_parts();
        let budget = Budget { rt: &self.worker.rt, own: &connection.own, shared: &self.worker.receive_budget };
        let (mut body, _memory) = budget.gather(body).await?;
        let mut _inflated = None;
        if let Some(encoding) = parts.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok())
            && let Some((inflated, memory)) = budget.inflate(encoding, &body).await?
        {
            parts.extensions.insert(AsSent(std::mem::replace(&mut body, inflated)));
            _inflated = memory;
        }
        Ok(self.handler.handle(&self.worker, parts, body, turns).await)
    }
}

fn own_budget() -> Rc<Semaphore> {
    Semaphore::new(HTTP_FREE_BYTES)
}

/// Nothing was begun that would have to be finished.
fn leave<F>(_: Pin<&mut F>) -> bool {
    false
}

/// Polls `work` until it ends or the connection has to, and sends what it gathers. When the node begins to stop,
/// `on_drain` says whether it goes on.
async fn drive<R: Runtime, F: Future>(
    marks: &Marks,
    socket: &Socket<R>,
    mut work: Pin<Box<F>>,
    on_drain: impl Fn(Pin<&mut F>) -> bool,
) -> Result<F::Output, End> {
    let mut told = false;
    let output = poll_fn(|cx| {
        if let Some(ended) = marks.poll_ended(cx) {
            return Poll::Ready(Err(End::Outside(ended)));
        }
        if marks.is_draining() && !std::mem::replace(&mut told, true) && !on_drain(work.as_mut()) {
            return Poll::Ready(Err(End::Draining));
        }
        let polled = work.as_mut().poll(cx);
        // Also when it has ended: what it said last is sent, if there is room for it.
        match socket.poll_flush(cx) {
            Poll::Ready(Err(error)) if polled.is_pending() => Poll::Ready(Err(End::Socket(error))),
            _ => polled.map(Ok),
        }
    })
    .await?;
    Ok(output)
}

/// Answers the requests of one connection.
struct Answering<R: Runtime, H> {
    front: Rc<Front<R, H>>,
    marks: Rc<Marks>,
    version: Version,
    own: Rc<Semaphore>,
}

impl<R: Runtime, H> Clone for Answering<R, H> {
    fn clone(&self) -> Self {
        let Self { front, marks, version, own } = self;
        Self { front: Rc::clone(front), marks: Rc::clone(marks), version: *version, own: Rc::clone(own) }
    }
}

impl<R: Runtime, H: Handler<R>> hyper::service::Service<Request<Incoming>> for Answering<R, H> {
    type Response = Response<Sending<(Requested, Counted)>>;
    type Error = Infallible;
    // Boxed: hyper makes room for it in every connection, and most have none under way.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let held = (self.marks.request(), Counted::new(&self.front.requests));
        let connection = self.clone();
        Box::pin(async move { Ok(connection.front.answer(request, &connection, held).await) })
    }
}

/// A request among all of the worker.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(requests: &Rc<Cell<usize>>) -> Self {
        requests.set(requests.get() + 1);
        Self(Rc::clone(requests))
    }

    fn is_too_many(&self) -> bool {
        self.0.get() > HTTP_REQUESTS_PER_WORKER_MAX
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection among all of the worker.
struct Entered<'a, R: Runtime, H> {
    front: &'a Front<R, H>,
    key: u64,
    marks: Rc<Marks>,
}

impl<'a, R: Runtime, H> Entered<'a, R, H> {
    fn new(front: &'a Front<R, H>) -> Self {
        let key = front.next.replace(front.next.get() + 1);
        let share = front.worker.waiting.share();
        let marks = Marks::new(&front.clock, Turns::new(share.clone()));
        let given_up = Rc::downgrade(&marks);
        share.on_give_up(move || {
            if let Some(marks) = given_up.upgrade() {
                marks.give_up();
            }
        });
        if front.worker.is_draining() {
            marks.drain();
        }
        front.connections.borrow_mut().insert(key, Rc::clone(&marks));
        front.worker.connections.set(front.worker.connections.get() + 1);
        Self { front, key, marks }
    }
}

impl<R: Runtime, H> Drop for Entered<'_, R, H> {
    fn drop(&mut self) {
        self.front.worker.connections.set(self.front.worker.connections.get() - 1);
        self.front.connections.borrow_mut().remove(&self.key);
        self.marks.turns.end();
    }
}
