use super::*;
use crate::runtime::conformance::{Ends, Link, reactor_tests};

struct Loopback;

impl Link<TokioReactor> for Loopback {
    async fn pair(&self, rt: &TokioReactor) -> (Ends<TokioReactor>, Ends<TokioReactor>) {
        let listener = ::tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("it listens");
        let (here, there) = futures_lite::future::zip(rt.connect(addr), listener.accept()).await;
        (here.expect("somebody listens"), split(there.expect("somebody connects").0).expect("connected"))
    }
}

fn run(check: impl AsyncFnOnce(TokioReactor, Loopback)) {
    block_on(async |rt| check(rt, Loopback).await).expect("a runtime");
}

reactor_tests!(run);

/// Goal: a refused connection is an error of the kind that callers look for.
#[test]
fn refused_connections_say_so() {
    block_on(async |rt| {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let error = rt.connect(free.expect("a free port")).await.map(drop).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    })
    .expect("a runtime");
}
