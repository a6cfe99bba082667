use super::launch::run_unpinned;
use super::*;
use crate::runtime::conformance::{Place, runtime_tests};
use std::sync::{Mutex, MutexGuard, PoisonError};

mod workers;

/// Executors lock memory, and the default limit is small: one test at a time has them.
pub(super) fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory beside the test program: `/tmp` may be a tmpfs.
pub(super) fn scratch() -> tempfile::TempDir {
    let program = std::env::current_exe().expect("it runs");
    tempfile::tempdir_in(program.parent().expect("a file")).expect("writable")
}

fn run<C>(check: C)
where
    C: AsyncFnOnce(GlommioRuntime, Place) + 'static,
{
    let _guard = one_at_a_time();
    let scratch = scratch();
    let place = Place { dir: scratch.path().to_owned(), listen: ([127, 0, 0, 1], 0).into() };
    run_unpinned(|rt| async move { check(rt, place).await }).expect("an executor");
}

runtime_tests!(run);

/// Goal: a file is settled only when no other handle can write to it; readers do not count, and afterwards others may open
/// it again.
#[test]
fn settled_waits_for_other_writers() {
    run(async |rt: GlommioRuntime, place: Place| {
        let path = place.dir.join("file");
        let before = rt.open(&path, crate::runtime::Open::CreateNew).await.unwrap();
        let reader = rt.open(&path, crate::runtime::Open::Read).await.unwrap();
        let file = rt.open(&path, crate::runtime::Open::Write).await.unwrap();
        let mut settled = Box::pin(crate::runtime::File::settled(&file));
        for _ in 0..3 {
            assert!(futures_lite::future::poll_once(&mut settled).await.is_none(), "another handle may write");
            rt.sleep(Duration::from_millis(3)).await;
        }
        drop(before);
        settled.await.unwrap();
        drop(reader);
        rt.open(&path, crate::runtime::Open::Write).await.unwrap();
    });
}
