//! What every implementation of the seam must do: one suite, the same code for each.
//!
//! A check is an `async fn` that panics when the implementation breaks a sentence of the traits' documentation. Checks of
//! [`Reactor`] take a [`Link`], because a reactor alone cannot listen; checks of [`Runtime`] take a [`Place`].
//!
//! An implementation runs them one test each with `runtime_tests!(run)` or `reactor_tests!(run)`, where `run` gets the
//! check as a closure, makes a runtime and a place, and drives the check to its end; or all in a row with [`runtime`].

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "compares the seam with the machine behind it")]
// The traits have no `Send` futures, see the seam.
#![allow(async_fn_in_trait)]

pub mod clock;
pub mod connections;
pub mod directories;
pub mod files;
pub mod listeners;
pub mod mailboxes;
pub mod tasks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Listener, Reactor, Runtime};

/// The two halves of one end of a connection.
pub type Ends<R> = (<R as Reactor>::ReadHalf, <R as Reactor>::WriteHalf);

/// Makes connections to check.
pub trait Link<R: Reactor> {
    /// Both ends of a new connection.
    async fn pair(&self, rt: &R) -> (Ends<R>, Ends<R>);
}

/// Where a check of a [`Runtime`] may work.
#[derive(Clone, Debug)]
pub struct Place {
    /// A directory that exists. Each check makes one of its own in it, under its name.
    pub dir: PathBuf,
    /// An address to listen on, with port 0.
    pub listen: SocketAddr,
}

impl Place {
    /// A directory that only the caller uses.
    async fn fresh<R: Runtime>(&self, rt: &R, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        rt.create_dir(&dir).await.expect("the place is writable");
        assert!(rt.list(&dir).await.expect("just made").is_empty(), "{} is not fresh", dir.display());
        dir
    }
}

impl<R: Runtime> Link<R> for Place {
    async fn pair(&self, rt: &R) -> (Ends<R>, Ends<R>) {
        let listener = rt.listen(self.listen, false).expect("a free port");
        let addr = listener.local_addr().expect("it listens");
        let (here, there) = futures_lite::future::zip(rt.connect(addr), listener.accept()).await;
        (here.expect("somebody listens"), there.expect("somebody connects"))
    }
}

/// Resolves with what `future` does, and panics if that takes `PATIENCE`: a check that hangs says where.
async fn soon<R: Reactor, T>(rt: &R, what: &str, future: impl Future<Output = T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(20);
    let in_time = async { Some(future.await) };
    let too_late = async {
        rt.sleep(PATIENCE).await;
        None
    };
    // The timer first: when it goes off, the other must not get a poll that nothing woke it for.
    futures_lite::future::or(too_late, in_time)
        .await
        .unwrap_or_else(|| panic!("{what}: nothing happened for {PATIENCE:?}"))
}

/// What `waiting` resolves with once `act` has run beside it: it must be woken, looking again is not enough.
async fn woken_by<R: Reactor, T>(rt: &R, what: &str, waiting: impl Future<Output = T>, act: impl AsyncFnOnce()) -> T {
    let acting = async {
        rt.yield_now().await;
        act().await;
    };
    // `zip` polls `waiting` first, and again only when something wakes this task.
    soon(rt, what, futures_lite::future::zip(waiting, acting)).await.0
}

/// Tries again until `attempt` gives something.
async fn eventually<R: Reactor, T>(rt: &R, what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    soon(rt, what, async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            rt.sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

/// Hands the list of reactor checks to another macro.
macro_rules! reactor_checks {
    ($each:ident $($arg:tt)*) => {
        $crate::runtime::conformance::$each! { [$($arg)*]
            clock::time_goes_on, clock::sleeps_end_in_order, clock::sleeps_can_be_dropped, clock::random_numbers_differ,
            tasks::every_class_runs, tasks::yielding_lets_others_run, tasks::tasks_start_tasks,
            connections::bytes_arrive_in_order, connections::big_writes_of_many_slices, connections::both_directions_at_once,
            connections::reads_fill_the_room_there_is, connections::dropped_reads_lose_nothing,
            connections::the_end_is_read_as_zero, connections::one_half_keeps_it_open,
            connections::polls_take_what_there_is, connections::finishing_ends_one_direction,
            connections::shutdown_wakes_the_reader, connections::writes_to_the_gone_fail
        }
    };
}

/// Hands the list of runtime checks (without those of the reactor) to another macro.
macro_rules! runtime_checks {
    ($each:ident $($arg:tt)*) => {
        $crate::runtime::conformance::$each! { [$($arg)*]
            listeners::connections_are_accepted, listeners::shared_ports_take_all, listeners::a_taken_port_is_refused,
            listeners::dropped_accepts_lose_nothing, listeners::a_dropped_listener_frees_its_port,
            files::opening, files::what_was_written_is_read, files::reads_end_at_the_end, files::buffers_start_zeroed,
            files::buffers_show_what_was_written, files::data_is_found,
            files::concurrent_writes, files::big_writes, files::read_buffers_can_be_written, files::allocating,
            files::truncating, files::dropped_writes_leave_a_usable_file, files::handles_share_one_file,
            directories::names_come_and_go, directories::renaming_replaces, directories::renaming_keeps_open_files,
            directories::maps, directories::locks, directories::disk_space,
            mailboxes::messages_arrive_in_order, mailboxes::the_bound_holds, mailboxes::a_full_one_waits_for_room,
            mailboxes::closing_by_the_sender, mailboxes::closing_by_the_receiver, mailboxes::both_must_connect,
            mailboxes::waiting_often_costs_nothing
        }
    };
}

/// Expands to a test per check.
#[cfg(test)]
macro_rules! each_as_test {
    ([$run:ident] $($module:ident :: $check:ident),+) => {
        $(
            /// Goal: this implementation passes this check of the suite.
            #[test]
            fn $check() {
                $run(async |rt, place| $crate::runtime::conformance::$module::$check(&rt, &place).await);
            }
        )+
    };
}

/// Expands to a call per check.
macro_rules! each_in_turn {
    ([$rt:ident $place:ident] $($module:ident :: $check:ident),+) => {
        $(
            tracing::debug!(check = concat!(stringify!($module), "::", stringify!($check)));
            $module::$check($rt, $place).await;
        )+
    };
}

/// A test per check of [`Reactor`]. `$run` is a function that drives `AsyncFnOnce(R, impl Link<R>)`.
#[cfg(test)]
macro_rules! reactor_tests {
    ($run:ident) => {
        $crate::runtime::conformance::reactor_checks! { each_as_test $run }
    };
}

/// A test per check of [`Runtime`]. `$run` is a function that drives `AsyncFnOnce(R, Place)`.
#[cfg(test)]
macro_rules! runtime_tests {
    ($run:ident) => {
        $crate::runtime::conformance::reactor_checks! { each_as_test $run }
        $crate::runtime::conformance::runtime_checks! { each_as_test $run }
    };
}

pub(crate) use each_in_turn;
#[cfg(test)]
pub(crate) use {each_as_test, reactor_checks, reactor_tests, runtime_checks, runtime_tests};

/// Runs every check of [`Reactor`].
pub async fn reactor<R: Reactor>(rt: &R, place: &impl Link<R>) {
    reactor_checks! { each_in_turn rt place }
}

/// Runs every check of [`Runtime`], those of [`Reactor`] first. `place` must be empty.
pub async fn runtime<R: Runtime>(rt: &R, place: &Place) {
    reactor(rt, place).await;
    runtime_checks! { each_in_turn rt place }
}
