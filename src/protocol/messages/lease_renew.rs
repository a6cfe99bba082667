//! LeaseRenew: the heartbeat of whoever holds leases.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{LEASE_RENEWALS_MAX, STORE_KEY_BYTES_MAX, STORE_SPACE_BYTES_MAX};
use crate::protocol::Opcode;

/// Fewest bytes of a renewal: an empty key and a token.
const RENEWAL_BYTES_MIN: usize = 2 + 8;

/// Lets leases last for their full time again, from now on. One heartbeat of a member carries all it holds.
///
/// ```text
/// 0 str16 space   then u32 count, count × { str16 key, u64 token }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRenew<'a> {
    /// The space.
    pub space: &'a str,
    /// The leases, at most [`LEASE_RENEWALS_MAX`].
    pub renewals: Vec<Renewal<'a>>,
}

/// One lease to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal<'a> {
    /// Key of the item.
    pub key: &'a str,
    /// Token of the lease.
    pub token: u64,
}

/// Answers a [`LeaseRenew`].
///
/// ```text
/// 0 u32 count, count × u8 held
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRenewAnswer {
    /// For each renewal, in order: whether the lease is still the sender's, and lasts for its full time. `false`: lost.
    pub held: Vec<bool>,
}

impl Operation for LeaseRenew<'_> {
    const OPCODE: Opcode = Opcode::LeaseRenew;
    type Answer<'a> = LeaseRenewAnswer;
}

impl Encode for LeaseRenew<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.space.as_bytes());
        out.put_u32(self.renewals.len() as u32);
        for renewal in &self.renewals {
            out.put_bytes16(renewal.key.as_bytes());
            out.put_u64(renewal.token);
        }
    }
}

impl<'a> Decode<'a> for LeaseRenew<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let space = r.str16(STORE_SPACE_BYTES_MAX, "space")?;
            let count = r.count32(RENEWAL_BYTES_MIN, LEASE_RENEWALS_MAX, "renewals")?;
            let renewals = (0..count)
                .map(|_| Ok(Renewal { key: r.str16(STORE_KEY_BYTES_MAX, "key")?, token: r.u64("token")? }))
                .collect::<Result<_, _>>()?;
            Ok(Self { space, renewals })
        })
    }
}

impl Encode for LeaseRenewAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.held.len() as u32);
        for held in &self.held {
            out.put_bool(*held);
        }
    }
}

impl Decode<'_> for LeaseRenewAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let count = r.count32(1, LEASE_RENEWALS_MAX, "held")?;
            Ok(Self { held: (0..count).map(|_| r.bool("held")).collect::<Result<_, _>>()? })
        })
    }
}
