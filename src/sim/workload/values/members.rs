//! Those who work under leases, as the members of an application do, and worse.

use std::time::Duration;

use super::World;
use crate::client::{Client, Error, Expect};
use crate::protocol::ErrorCode;
use crate::runtime::Reactor;
use crate::sim::SimRuntime;

impl World {
    pub(super) async fn lead(&self, rt: &SimRuntime, _number: u64) {
        let client = self.connect(rt).await;
        let mut acts = 0;
        while acts < self.plan.acts {
            let key = format!("lease-{}", self.draw(self.plan.items));
            acts += 1;
            match self.claim(&client, &key, None).await {
                Ok(token) => acts += self.hold(&client, &key, token).await,
                Err(error) if error.code() == Some(ErrorCode::LeaseHeld) => {
                    acts += self.stand_outside(&client, &key, &error).await;
                }
                Err(_) => rt.sleep(Duration::from_micros(self.draw(50_000))).await,
            }
        }
    }

    fn part_of_ttl(&self, percent: u64) -> Duration {
        self.plan.ttl * self.draw(percent) as u32 / 100
    }

    /// Works with a lease until it is lost, given back or forgotten; says how much was done.
    async fn hold(&self, client: &Client<SimRuntime>, key: &str, token: u64) -> u64 {
        let rt = client.reactor();
        for act in 1..=2 + self.draw(10) {
            match self.draw(12) {
                0..=3 => {
                    if self.renew(client, key, token).await == Some(false) {
                        // Somebody who has not heard of it goes on.
                        if self.draw(2) == 0 {
                            let _ = self.put(client, key, 0, (Expect::Any, Some(token))).await;
                        }
                        return act;
                    }
                }
                4..=6 => {
                    if matches!(self.put(client, key, 0, (Expect::Any, Some(token))).await, Err(Error::LeaseLost)) {
                        return act;
                    }
                }
                7 => {
                    // As a checkpoint is put.
                    if let Ok(Some(item)) = self.get(client, key).await {
                        let _ = self.put(client, key, 0, (Expect::Version(item.version), Some(token))).await;
                    }
                }
                8 => {
                    let _ = self.release(client, key, token).await;
                    return act;
                }
                9 if self.draw(3) == 0 => {
                    let _ = self.delete(client, key, (Expect::Any, Some(token))).await;
                    return act;
                }
                // A pause in which the lease may run out, without a word.
                10 => rt.sleep(self.part_of_ttl(250)).await,
                _ => rt.sleep(self.part_of_ttl(40)).await,
            }
        }
        8
    }

    /// Somebody else holds the lease: waits, looks, tries without it, or steals.
    async fn stand_outside(&self, client: &Client<SimRuntime>, key: &str, error: &Error) -> u64 {
        let holder = match error {
            Error::Node(answer) => answer.detail_a,
            other => unreachable!("an error of the node: {other}"),
        };
        match self.draw(8) {
            0 => match self.claim(client, key, Some(holder)).await {
                Ok(token) => return 1 + self.hold(client, key, token).await,
                Err(_) => return 1,
            },
            1 => drop(self.put(client, key, 0, (Expect::Any, None)).await),
            2 => drop(self.delete(client, key, (Expect::Any, None)).await),
            3 => drop(self.get(client, key).await),
            4 => drop(self.list(client).await),
            _ => {}
        }
        client.reactor().sleep(self.part_of_ttl(60)).await;
        1
    }
}
