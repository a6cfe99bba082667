//! Limits and settings of the account, which is the node.
//!
//! The one setting there is, the commitment to a minimum of throughput, is a stored value in a space of the node's own. It is
//! bound to a day: who ends it earlier goes on with it until then.

use bytes::Bytes;

use super::call::{Call, Reply, invalid};
use super::streams::int;
use crate::catalog::{Expect, Name, StoreCommand};
use crate::kinesis::error::Error;
use crate::kinesis::input::Input;
use crate::kinesis::output::Fields;
use crate::limits::{SHARDS_MAX, STREAMS_MAX};
use crate::runtime::Runtime;
use crate::server::mail::{AdminDone, AdminOp, StoreDone, StoreOp};
use crate::types::WallUs;

/// The space of settings of the account. Begins with a dot: no application names its space like that by accident.
const SPACE: &str = ".kinesis";

/// The commitment in it.
const KEY: &str = "minimum-throughput-billing-commitment";

/// A commitment binds for 24 hours.
const BOUND_US: u64 = 24 * 3_600_000_000;

/// The commitment to a minimum of throughput. Stored as its two times, as decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Commitment {
    /// When it began.
    started: WallUs,
    /// When it ends or ended, once somebody ended it.
    ends: Option<WallUs>,
}

impl Commitment {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut times = std::str::from_utf8(bytes).ok()?.split(' ').map(str::parse);
        let (started, ends) = (times.next()?.ok()?, times.next()?.ok()?);
        Some(Self { started: WallUs(started), ends: (ends > 0).then_some(WallUs(ends)) })
    }

    fn text(&self) -> String {
        format!("{} {}", self.started.0, self.ends.unwrap_or_default().0)
    }

    fn is_on(&self, now: WallUs) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }

    fn earliest_end(&self) -> WallUs {
        WallUs(self.started.0.saturating_add(BOUND_US))
    }

    fn write(&self, out: &mut Fields<'_>, now: WallUs) {
        match self.ends {
            None => {
                out.str("Status", "ENABLED");
                out.time("StartedAt", self.started);
                out.time("EarliestAllowedEndAt", self.earliest_end());
            }
            Some(ends) if now < ends => {
                out.str("Status", "ENABLED_UNTIL_EARLIEST_ALLOWED_END");
                out.time("StartedAt", self.started);
                out.time("EarliestAllowedEndAt", self.earliest_end());
            }
            Some(ends) => {
                out.str("Status", "DISABLED");
                out.time("StartedAt", self.started);
                out.time("EndedAt", ends);
            }
        }
    }
}

impl<R: Runtime> Call<'_, R> {
    pub(super) fn describe_limits(&self) -> Result<Reply, Error> {
        self.allow_all()?;
        let catalog = self.worker.catalog.borrow();
        let serving = || catalog.streams().filter(|stream| stream.status.is_serving());
        let open = serving().map(|stream| stream.open_shards().len()).sum();
        let on_demand = serving().filter(|stream| stream.settings.mode.is_on_demand()).count();
        self.answer(|out| {
            out.int("ShardLimit", int(SHARDS_MAX));
            out.int("OpenShardCount", int(open));
            out.int("OnDemandStreamCount", int(on_demand));
            out.int("OnDemandStreamCountLimit", int(STREAMS_MAX));
            out.int("ChannelCount", 0);
            out.int("ChannelCountLimit", 0);
        })
    }

    async fn commitment(&self) -> Result<Option<Commitment>, Error> {
        let op = StoreOp::Get { space: SPACE.to_owned(), key: KEY.to_owned() };
        match self.admin(AdminOp::Store(op), &self.about("")).await? {
            AdminDone::Store(StoreDone::Items(items, _)) => {
                Ok(items.first().and_then(|item| Commitment::parse(&item.item.value)))
            }
            done => unreachable!("a look at a value is answered with it, not with {done:?}"),
        }
    }

    /// Warm throughput is for those who committed themselves.
    pub(super) async fn check_commitment(&self) -> Result<(), Error> {
        let now = self.now();
        match self.commitment().await? {
            Some(commitment) if commitment.is_on(now) => Ok(()),
            _ => Err(invalid(format!(
                "Account {} has no minimum throughput billing commitment, without which warm throughput cannot be set. \
                 Use UpdateAccountSettings.",
                self.account()
            ))),
        }
    }

    pub(super) async fn describe_account_settings(&self) -> Result<Reply, Error> {
        self.allow_all()?;
        let commitment = self.commitment().await?;
        self.answer_commitment(commitment)
    }

    fn answer_commitment(&self, commitment: Option<Commitment>) -> Result<Reply, Error> {
        let now = self.now();
        self.answer(|out| {
            out.structure("MinimumThroughputBillingCommitment", |out| match commitment {
                None => out.str("Status", "DISABLED"),
                Some(commitment) => commitment.write(out, now),
            });
        })
    }

    pub(super) async fn update_account_settings(&self, input: &Input<'_>) -> Result<Reply, Error> {
        self.allow_all()?;
        let wanted = input.structure("MinimumThroughputBillingCommitment").and_then(|given| given.str("Status"));
        let now = self.now();
        let have = self.commitment().await?;
        let new = match (wanted, have) {
            (Some("ENABLED"), Some(Commitment { started, ends })) if ends.is_none_or(|ends| now < ends) => {
                Some(Commitment { started, ends: None })
            }
            (Some("ENABLED"), _) => Some(Commitment { started: now, ends: None }),
            (_, Some(commitment @ Commitment { ends: None, .. })) => {
                Some(Commitment { ends: Some(commitment.earliest_end().max(now)), ..commitment })
            }
            (_, have) => have,
        };
        if let Some(commitment) = new.filter(|_| new != have) {
            let change = StoreCommand::Put {
                name: Name { space: SPACE.to_owned(), key: KEY.to_owned() },
                value: Bytes::from(commitment.text()),
                expect: Expect::Any,
                token: None,
            };
            self.admin(AdminOp::Store(StoreOp::Change(change)), &self.about("")).await?;
        }
        self.answer_commitment(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a commitment comes back as it was stored, and what was not stored by us is none.
    #[test]
    fn commitments_are_text() {
        for commitment in [
            Commitment { started: WallUs(17), ends: None },
            Commitment { started: WallUs(17), ends: Some(WallUs(u64::MAX)) },
        ] {
            assert_eq!(Commitment::parse(commitment.text().as_bytes()), Some(commitment));
        }
        for text in ["", "1", "1 x", "x 1", "\u{e9} 1"] {
            assert_eq!(Commitment::parse(text.as_bytes()), None, "{text}");
        }
    }

    /// Goal: a commitment is on until its end, however early somebody ended it.
    #[test]
    fn commitments_bind_for_a_day() {
        let started = WallUs(1_000);
        let commitment = Commitment { started, ends: None };
        assert!(commitment.is_on(WallUs(u64::MAX)));
        let ended = Commitment { ends: Some(commitment.earliest_end()), ..commitment };
        assert!(ended.is_on(WallUs(started.0 + BOUND_US - 1)));
        assert!(!ended.is_on(WallUs(started.0 + BOUND_US)));
    }
}
