//! Those who set values without leases, and those who count.

use std::time::Duration;

use super::{World, history};
use crate::client::Expect;
use crate::runtime::Reactor;
use crate::sim::SimRuntime;

impl World {
    pub(super) async fn set(&self, rt: &SimRuntime, _number: u64) {
        let client = self.connect(rt).await;
        let mut version = 0;
        for _ in 0..self.plan.acts {
            let key = format!("value-{}", self.draw(self.plan.items));
            match self.draw(10) {
                0 => drop(self.put(&client, &key, 0, (Expect::Any, None)).await),
                1 => drop(self.put(&client, &key, 0, (Expect::Absent, None)).await),
                2 => drop(self.delete(&client, &key, (Expect::Any, None)).await),
                3 => drop(self.delete(&client, &key, (Expect::Version(version), None)).await),
                // A lease that nobody was granted.
                4 => drop(self.put(&client, &key, 0, (Expect::Any, Some(1 + version / 2))).await),
                5 => drop(self.list(&client).await),
                // With a version that may be old, and of another item.
                6 => drop(self.put(&client, &key, 0, (Expect::Version(version.max(1)), None)).await),
                _ => {
                    if let Ok(found) = self.get(&client, &key).await {
                        let expect = found.map_or(Expect::Absent, |item| Expect::Version(item.version));
                        version = self.put(&client, &key, 0, (expect, None)).await.unwrap_or(version);
                    }
                }
            }
            rt.sleep(Duration::from_micros(self.draw(60_000))).await;
        }
    }

    /// Counts by comparing and setting: each step is counted once.
    pub(super) async fn count(&self, rt: &SimRuntime, _number: u64) {
        let client = self.connect(rt).await;
        for _ in 0..self.plan.acts {
            let key = format!("counter-{}", self.draw(self.plan.items));
            if let Ok(found) = self.get(&client, &key).await {
                let count = found.as_ref().map_or(0, |item| history::count_of(&item.value).expect("a count"));
                let expect = found.map_or(Expect::Absent, |item| Expect::Version(item.version));
                let _ = self.put(&client, &key, count + 1, (expect, None)).await;
            }
            rt.sleep(Duration::from_micros(self.draw(30_000))).await;
        }
    }
}
