//! Small values, and leases on them.

use bytes::Bytes;

use super::Requests;
use super::streams::wrong;
use crate::catalog::{Expect as Expected, Name, StoreCommand};
use crate::limits::STORE_PAGE_MAX;
use crate::protocol::Opcode;
use crate::protocol::messages::{
    Expect, Lease, LeaseClaim, LeaseClaimAnswer, LeaseRelease, LeaseReleaseAnswer, LeaseRenew, LeaseRenewAnswer,
    StoreDelete, StoreDeleteAnswer, StoreGet, StoreGetAnswer, StoreItem, StoreList, StoreListAnswer, StorePut,
    StorePutAnswer,
};
use crate::runtime::Runtime;
use crate::server::mail::{AdminDone, AdminOp, StoreDone, StoreOp, Stored};
use crate::server::outbox::Outbox;

fn name(space: &str, key: &str) -> Name {
    Name { space: space.to_owned(), key: key.to_owned() }
}

const fn expected(expect: Expect) -> Expected {
    match expect {
        Expect::Any => Expected::Any,
        Expect::Absent => Expected::Absent,
        Expect::Version(version) => Expected::Version(version),
    }
}

fn item(stored: &Stored) -> StoreItem<'_> {
    let Stored { key, item, remaining_ms } = stored;
    let lease = item.lease.as_ref().map(|lease| Lease {
        token: lease.token,
        ttl_ms: lease.ttl_ms,
        remaining_ms: *remaining_ms,
        owner: &lease.owner,
    });
    StoreItem { version: item.version, key, value: &item.value, lease }
}

impl<R: Runtime> Requests<R> {
    pub(super) fn store_put(&self, put: &StorePut<'_>, correlation: u64) {
        let command = StoreCommand::Put {
            name: name(put.space, put.key),
            value: Bytes::copy_from_slice(put.value),
            expect: expected(put.expect),
            token: put.token,
        };
        self.store(StoreOp::Change(command), Opcode::StorePut, correlation, move |outbox, done| {
            let StoreDone::Version(version) = done else { wrong(&AdminDone::Store(done)) };
            outbox.answer(Opcode::StorePut, correlation, &StorePutAnswer { version });
        });
    }

    pub(super) fn store_get(&self, get: &StoreGet<'_>, correlation: u64) {
        let op = StoreOp::Get { space: get.space.to_owned(), key: get.key.to_owned() };
        self.store(op, Opcode::StoreGet, correlation, move |outbox, done| {
            let StoreDone::Items(items, _) = &done else { wrong(&AdminDone::Store(done)) };
            let answer = StoreGetAnswer { item: items.first().map(item) };
            outbox.answer(Opcode::StoreGet, correlation, &answer);
        });
    }

    pub(super) fn store_list(&self, list: &StoreList<'_>, correlation: u64) {
        let limit = if list.limit == 0 { STORE_PAGE_MAX } else { list.limit.min(STORE_PAGE_MAX) };
        let op = StoreOp::List {
            space: list.space.to_owned(),
            prefix: list.prefix.to_owned(),
            after: list.after.to_owned(),
            limit: limit as usize,
        };
        self.store(op, Opcode::StoreList, correlation, move |outbox, done| {
            let StoreDone::Items(items, more) = &done else { wrong(&AdminDone::Store(done)) };
            let answer = StoreListAnswer { items: items.iter().map(item).collect(), more: *more };
            outbox.answer(Opcode::StoreList, correlation, &answer);
        });
    }

    pub(super) fn store_delete(&self, delete: &StoreDelete<'_>, correlation: u64) {
        let command = StoreCommand::Delete {
            name: name(delete.space, delete.key),
            expect: expected(delete.expect),
            token: delete.token,
        };
        self.store(StoreOp::Change(command), Opcode::StoreDelete, correlation, move |outbox, done| {
            let StoreDone::Deleted(existed) = done else { wrong(&AdminDone::Store(done)) };
            outbox.answer(Opcode::StoreDelete, correlation, &StoreDeleteAnswer { existed });
        });
    }

    pub(super) fn lease_claim(&self, claim: &LeaseClaim<'_>, correlation: u64) {
        let command = StoreCommand::Claim {
            name: name(claim.space, claim.key),
            owner: claim.owner.to_owned(),
            ttl_ms: claim.ttl_ms,
            take_from: claim.take_from,
        };
        self.store(StoreOp::Change(command), Opcode::LeaseClaim, correlation, move |outbox, done| {
            let StoreDone::Claimed(token, stored) = &done else { wrong(&AdminDone::Store(done)) };
            let answer = LeaseClaimAnswer { token: *token, item: item(stored) };
            outbox.answer(Opcode::LeaseClaim, correlation, &answer);
        });
    }

    pub(super) fn lease_renew(&self, renew: &LeaseRenew<'_>, correlation: u64) {
        let renewals = renew.renewals.iter().map(|renewal| (renewal.key.to_owned(), renewal.token)).collect();
        let op = StoreOp::Renew { space: renew.space.to_owned(), renewals };
        self.store(op, Opcode::LeaseRenew, correlation, move |outbox, done| {
            let StoreDone::Held(held) = done else { wrong(&AdminDone::Store(done)) };
            outbox.answer(Opcode::LeaseRenew, correlation, &LeaseRenewAnswer { held });
        });
    }

    pub(super) fn lease_release(&self, release: &LeaseRelease<'_>, correlation: u64) {
        let command = StoreCommand::Release { name: name(release.space, release.key), token: release.token };
        self.store(StoreOp::Change(command), Opcode::LeaseRelease, correlation, move |outbox, done| {
            let StoreDone::Version(_) = done else { wrong(&AdminDone::Store(done)) };
            outbox.answer(Opcode::LeaseRelease, correlation, &LeaseReleaseAnswer);
        });
    }

    fn store(
        &self,
        op: StoreOp,
        opcode: Opcode,
        correlation: u64,
        answer: impl FnOnce(&Outbox<R>, StoreDone) + 'static,
    ) {
        self.admin(AdminOp::Store(op), opcode, correlation, move |_, outbox, done| match done {
            AdminDone::Store(done) => answer(outbox, done),
            done => wrong(&done),
        });
    }
}
