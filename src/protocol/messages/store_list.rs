//! StoreList: the items of a space, by key.

use super::{Decode, Encode, Operation, StoreItem, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_PAGE_MAX, STORE_SPACE_BYTES_MAX};
use crate::protocol::Opcode;

/// Asks for items in the byte order of their keys. Without a space: for the spaces in which something is stored, each as an
/// item with the space as its key, an empty value and version 0.
///
/// ```text
/// 0 str16 space   then str16 prefix   str16 after   u32 limit
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreList<'a> {
    /// The space; empty for a list of the spaces.
    pub space: &'a str,
    /// Only keys that begin so; empty for all.
    pub prefix: &'a str,
    /// Keys up to and including this one are left out; empty for all.
    pub after: &'a str,
    /// How many at most; 0 stands for, and more is capped to, [`STORE_PAGE_MAX`].
    pub limit: u32,
}

/// Answers a [`StoreList`]. Each page is read at one instant; between two pages items may change.
///
/// ```text
/// 0 u32 count, count × item, as in the answer to StoreGet   then u8 more
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreListAnswer<'a> {
    /// The items.
    pub items: Vec<StoreItem<'a>>,
    /// There are more after the last one.
    pub more: bool,
}

impl Operation for StoreList<'_> {
    const OPCODE: Opcode = Opcode::StoreList;
    type Answer<'a> = StoreListAnswer<'a>;
}

impl Encode for StoreList<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.space.as_bytes());
        out.put_bytes16(self.prefix.as_bytes());
        out.put_bytes16(self.after.as_bytes());
        out.put_u32(self.limit);
    }
}

impl<'a> Decode<'a> for StoreList<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                space: r.str16(STORE_SPACE_BYTES_MAX, "space")?,
                prefix: r.str16(STORE_KEY_BYTES_MAX, "prefix")?,
                after: r.str16(STORE_KEY_BYTES_MAX, "after")?,
                limit: r.u32("limit")?,
            })
        })
    }
}

impl Encode for StoreListAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.items.len() as u32);
        for item in &self.items {
            item.encode(out);
        }
        out.put_bool(self.more);
    }
}

impl<'a> Decode<'a> for StoreListAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let count = r.count32(StoreItem::BYTES_MIN, STORE_PAGE_MAX as usize, "items")?;
            let items = (0..count).map(|_| StoreItem::read(r)).collect::<Result<_, _>>()?;
            Ok(Self { items, more: r.bool("more")? })
        })
    }
}
