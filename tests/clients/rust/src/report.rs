//! The cases of the suite and the lines of JSON about them; tests/clients/README.md defines these.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A variable that the driver sets.
pub fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

pub fn scheme() -> String {
    told("MILLSTREAM_ENDPOINT").split(':').next().unwrap_or_default().to_owned()
}

/// The case that runs, and what was called in it: (operation, encoding, transport) to (calls, answered with success).
type Calls = BTreeMap<(String, &'static str, &'static str), (u32, u32)>;
static CURRENT: Mutex<(String, Calls)> = Mutex::new((String::new(), Calls::new()));

/// The client's interceptor saw an answer.
pub fn called(operation: &str, encoding: &'static str, status: u16) {
    // The client does not show what it spoke, but over http it has nothing else.
    let transport = if scheme() == "http" { "http/1.1" } else { "not shown" };
    let mut current = CURRENT.lock().expect("no case panics in here");
    let seen = current.1.entry((operation.to_owned(), encoding, transport)).or_default();
    seen.0 += 1;
    seen.1 += u32::from((200..300).contains(&status));
}

pub fn line(mut more: Value) {
    more["client"] = json!("rust");
    more["scheme"] = json!(scheme());
    more["case"] = json!(CURRENT.lock().expect("no case panics in here").0);
    println!("{more}");
}

pub type Case = fn() -> Pin<Box<dyn Future<Output = ()>>>;

/// Runs the cases, and ends the process by what became of them.
pub async fn run(cases: &[(&str, Case)]) {
    let mut failed = 0;
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    for (name, case) in cases {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == name) {
            continue;
        }
        *CURRENT.lock().expect("no case panics in here") = ((*name).to_owned(), Calls::new());
        let started = Instant::now();
        let error = tokio::time::timeout(Duration::from_secs(90), Caught(case())).await;
        let error = error.unwrap_or_else(|_| Some("the case takes too long".to_owned()));
        let calls = std::mem::take(&mut CURRENT.lock().expect("no case panics in here").1);
        for ((operation, encoding, transport), (calls, answered)) in calls {
            line(json!({"operation": operation, "encoding": encoding, "transport": transport, "calls": calls,
                "answered": answered, "ok": error.is_none()}));
        }
        let mut result =
            json!({"ok": error.is_none(), "seconds": (started.elapsed().as_secs_f64() * 100.0).round() / 100.0});
        if let Some(error) = error {
            result["error"] = json!(error);
            failed += 1;
        }
        line(result);
    }
    std::process::exit(i32::from(failed > 0));
}

/// A case whose panic is its result: `None` if there was none.
struct Caught(Pin<Box<dyn Future<Output = ()>>>);

impl Future for Caught {
    type Output = Option<String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|()| None),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                std::task::Poll::Ready(Some(text.unwrap_or_default()))
            }
        }
    }
}

/// Waits for a condition with a deadline, and gives what it gave.
pub async fn until<T>(what: &str, seconds: u64, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
