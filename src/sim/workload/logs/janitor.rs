//! What the node does by itself, or on request, while the workload on logs runs: retention, creation, destruction, and
//! opening logs again that died.

use std::rc::Rc;
use std::time::Duration;

use super::{Slot, World};
use crate::catalog::Status;
use crate::engine::shard::Shard;
use crate::engine::shards::Shards;
use crate::runtime::Reactor;
use crate::shard::admission::PutRefusal;
use crate::sim::workload::log_oracle::End;
use crate::sim::{Chance, DiskFaults, SimRuntime};

impl World {
    pub(super) async fn janitor(self: Rc<Self>, shards: &Rc<Shards<SimRuntime>>) {
        let rt = shards.env().rt.clone();
        for _ in 0..self.plan.puts {
            let slots = self.slots();
            let slot = &slots[self.draw(slots.len() as u64) as usize];
            slot.moments.borrow_mut().push((rt.wall(), slot.oracle.borrow().end()));
            self.reopen_dead(shards).await;
            match self.draw(60) {
                0..20 => self.expire(shards, slot).await,
                20 => self.replace(shards, slot).await,
                _ => {}
            }
            let segments = shards.all().iter().map(|shard| shard.log().disk_bytes() >> 20).max();
            {
                let mut summary = self.summary.borrow_mut();
                summary.segments_max = summary.segments_max.max(segments.unwrap_or(0));
            }
            self.pause(&rt).await;
        }
        // Clients wait for a log that died.
        for _ in 0..200 {
            self.reopen_dead(shards).await;
            rt.sleep(Duration::from_millis(20)).await;
        }
    }

    async fn expire(&self, shards: &Rc<Shards<SimRuntime>>, slot: &Slot) {
        let Some(shard) = shards.get(slot.id.group) else { return };
        let moment = {
            let moments = slot.moments.borrow();
            moments[self.draw(moments.len() as u64) as usize]
        };
        slot.oracle.borrow_mut().may_expire(moment.1);
        match shard.log().expire(moment.0).await {
            Ok(freed) => self.summary.borrow_mut().freed_bytes += freed,
            Err(error) => assert!(self.plan.faults.name_error != Chance::NEVER, "cannot expire: {error}"),
        }
    }

    /// Destroys a log and creates another one.
    async fn replace(&self, shards: &Rc<Shards<SimRuntime>>, slot: &Slot) {
        slot.status.set(Status::Deleting);
        assert!(shards.free(slot.id.group).await, "the node does not stop");
        self.slots.borrow_mut().retain(|other| other.id != slot.id);
        let new = self.add_slot();
        for attempt in 0.. {
            match shards.create(&self.known_as(&new)).await {
                Ok(_) => break,
                Err(error) => {
                    let faulty = self.plan.faults.name_error != Chance::NEVER;
                    assert!(faulty && attempt < 100, "cannot create: {error}");
                }
            }
        }
        new.status.set(Status::Active);
    }

    async fn reopen_dead(&self, shards: &Rc<Shards<SimRuntime>>) {
        let is_dead = |shard: &Shard<SimRuntime>| shard.log().refusal() == Some(PutRefusal::Dead);
        if !shards.all().iter().any(|shard| is_dead(shard)) {
            return;
        }
        // The faults pause, as faults do; otherwise nothing might ever open again.
        self.sim.set_disk_faults(self.host, DiskFaults::default());
        let slots = self.slots();
        slots.iter().for_each(|slot| slot.reopening.set(true));
        let before: Vec<_> = slots.iter().map(|slot| shards.get(slot.id.group)).collect();
        shards.reopen_dead().await;
        for (slot, before) in slots.iter().zip(before) {
            let now = shards.get(slot.id.group);
            if let Some((before, now)) = before.zip(now)
                && !Rc::ptr_eq(&before, &now)
            {
                self.summary.borrow_mut().reopened += 1;
                assert_eq!(now.log().damage(), [], "log {}: damaged by a failed write", slot.id.group);
                slot.oracle.borrow_mut().crashed(End::Kill);
                self.check_recovered(slot, &now).await;
            }
            slot.reopening.set(false);
        }
        self.sim.set_disk_faults(self.host, self.plan.faults);
    }
}
