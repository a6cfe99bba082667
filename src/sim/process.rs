//! One incarnation of a host: what every handle of a runtime carries, so that it can tell whether it is still allowed to act.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::HostId;
use super::core::{Core, Due, DueAt};
use super::disk::{Disk, Landing, Verdict};
use super::options::DiskOp;
use super::slot::Slot;

/// A process on a host. After the host went down it is dead: what it asks for pends for ever.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) core: Rc<Core>,
    pub(crate) host: HostId,
    incarnation: u64,
    current: Rc<Cell<u64>>,
}

impl Process {
    /// The living process of `host`.
    pub(crate) fn of(core: &Rc<Core>, host: HostId) -> Self {
        let current = Rc::clone(&core.hosts.borrow()[host.index()].incarnation);
        Self { core: Rc::clone(core), host, incarnation: current.get(), current }
    }

    /// Which of the host's processes it is, from 0.
    pub(crate) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether the host has not gone down since.
    pub(crate) fn is_alive(&self) -> bool {
        self.current.get() == self.incarnation
    }

    /// Resolves at once while alive, never afterwards.
    pub(crate) async fn alive(&self) {
        if !self.is_alive() {
            pending::<()>().await;
        }
    }

    pub(crate) fn disk(&self) -> Rc<RefCell<Disk>> {
        self.core.disk(self.host)
    }

    pub(crate) fn note(&self, what: &'static str, numbers: [u64; 2], text: Option<&Rc<str>>) {
        self.core.note(Some(self.host), what, numbers, text);
    }

    /// Hands an operation to the disk and waits for its end. `effect` runs when it ends, whether or not somebody still
    /// waits; if the process dies first it runs with [`Landing::Interrupted`], and its result goes nowhere.
    pub(crate) async fn disk_op<T: 'static>(
        &self,
        op: DiskOp,
        path: &Rc<str>,
        numbers: [u64; 2],
        effect: impl FnOnce(&mut Disk, Landing) -> io::Result<T> + 'static,
    ) -> io::Result<T> {
        self.alive().await;
        self.note(op.name(), numbers, Some(path));
        let slot = Slot::new();
        let filled = Rc::clone(&slot);
        let effect = Box::new(move |disk: &mut Disk, landing: Landing| {
            let interrupted = matches!(landing, Landing::Interrupted);
            let result = effect(disk, landing);
            if interrupted { None } else { filled.fill(result) }
        });
        let number = self.core.number();
        let takes_us = {
            let disk = self.disk();
            let mut disk = disk.borrow_mut();
            let Verdict { takes_us, landing } = disk.judge(op, path);
            disk.begin(number, landing, takes_us.is_none(), effect);
            takes_us
        };
        if let Some(takes_us) = takes_us {
            self.core.schedule(takes_us, Due::Disk(self.host, number));
        }
        slot.wait().await
    }

    /// As [`Process::disk_op`], for an operation that happens as a whole or not at all.
    pub(crate) async fn whole_disk_op<T: 'static>(
        &self,
        op: DiskOp,
        path: &Rc<str>,
        numbers: [u64; 2],
        effect: impl FnOnce(&mut Disk) -> io::Result<T> + 'static,
    ) -> io::Result<T> {
        self.disk_op(op, path, numbers, |disk, landing| match landing {
            Landing::Whole | Landing::Misdirected | Landing::Skipped => effect(disk),
            Landing::Failed(error) => Err(error),
            Landing::Interrupted if disk.rng.coin() => effect(disk),
            Landing::Interrupted => Err(io::ErrorKind::Interrupted.into()),
        })
        .await
    }

    /// Resolves after `duration`, and at least a microsecond: no timer fires at once.
    pub(crate) async fn sleep(&self, duration: Duration) {
        self.alive().await;
        let us = u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX).max(1);
        let late_us = self.core.timer_late_us();
        let at_us = self.core.now_us().saturating_add(us).saturating_add(late_us);
        Sleep { core: &self.core, at_us, timer: None }.await;
        self.alive().await;
    }

    /// Lets others run, for up to a microsecond of virtual time: who yields until something happens sees it happen.
    pub(crate) async fn yield_now(&self) {
        self.alive().await;
        if self.core.yield_takes_time() {
            Sleep { core: &self.core, at_us: self.core.now_us() + 1, timer: None }.await;
        } else {
            futures_lite::future::yield_now().await;
        }
        self.alive().await;
    }
}

/// A timer; dropping it takes it back.
struct Sleep<'a> {
    core: &'a Core,
    at_us: u64,
    timer: Option<DueAt>,
}

impl Sleep<'_> {
    fn cancel(&mut self) {
        if let Some(timer) = self.timer.take() {
            let due = self.core.cancel(timer);
            drop(due);
        }
    }
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.cancel();
        if self.core.now_us() >= self.at_us {
            return Poll::Ready(());
        }
        // A time that never comes is no event: who sleeps until then may be deadlocked.
        if self.at_us < u64::MAX {
            self.timer = Some(self.core.schedule_at(self.at_us, Due::Wake(cx.waker().clone())));
        }
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}
