//! On which side of the seam a thread is: in the node's code, in the machine below it, or elsewhere.
//!
//! Two functions are the only ways from one side to the other. They are never inlined and hold no closures of their own, so
//! that callgrind can be told by their names to start and stop counting (`--toggle-collect`).

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A side of the seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A task of the node runs, above the seam.
    Node,
    /// A task of the node has called the machine.
    Machine,
    /// The watch itself takes memory for a task or an operation, to know where it ends.
    Watch,
    /// Anything else: the executor between two tasks, a client.
    Elsewhere,
}

thread_local! {
    static SIDE: Cell<Side> = const { Cell::new(Side::Elsewhere) };
}

/// Where this thread is.
#[must_use]
pub fn side() -> Side {
    SIDE.get()
}

/// Lets the node go on with a task. A task that has ended is dropped here too: that is part of what it costs.
#[inline(never)]
pub fn gate_node_turn<F: Future<Output = ()>>(task: &mut Option<Pin<Box<F>>>, cx: &mut Context<'_>) -> Poll<()> {
    let before = SIDE.replace(Side::Node);
    let polled = match task {
        Some(running) => running.as_mut().poll(cx),
        None => Poll::Ready(()),
    };
    if polled.is_ready() {
        *task = None;
    }
    SIDE.set(before);
    polled
}

/// Calls the machine.
#[inline(never)]
pub fn gate_machine_call<T>(call: impl FnOnce() -> T) -> T {
    let before = SIDE.replace(Side::Machine);
    let result = call();
    SIDE.set(before);
    result
}

/// Takes memory on the watch's own account. Inside of [`gate_machine_call`], so that its instructions are not the node's either.
pub fn watch_box<T>(value: T) -> Pin<Box<T>> {
    let before = SIDE.replace(Side::Watch);
    let boxed = Box::pin(value);
    SIDE.set(before);
    boxed
}
