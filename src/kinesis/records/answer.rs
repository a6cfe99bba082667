//! What stands around the records of `GetRecords` and of an event of `SubscribeToShard`.

use super::form::{Form, shard_id};
use crate::kinesis::Encoding;
use crate::shard::sequence::{SequenceDigits, SequenceNumber};
use crate::types::{HashKey, ShardNumber};

/// A shard that goes on where one that was read to its end left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildShard<'a> {
    /// The shard.
    pub shard: ShardNumber,
    /// Its parents: one after a split, two after a merge.
    pub parents: &'a [ShardNumber],
    /// Its first hash key.
    pub first: HashKey,
    /// Its last hash key.
    pub last: HashKey,
}

/// How a reader goes on. Clients insist on one of these and no other beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After<'a> {
    /// `NextShardIterator` of `GetRecords`.
    Iterator(&'a str),
    /// `ContinuationSequenceNumber` of an event.
    Continuation(SequenceNumber),
    /// `ChildShards`: the shard ends here.
    Children(&'a [ChildShard<'a>]),
}

/// Appends what stands before the records.
pub fn begin(out: &mut Vec<u8>, encoding: Encoding) {
    Form { out, encoding }.put(br#"{"Records":"#, b"\xbf\x67Records");
}

/// Appends what stands behind the records.
pub fn end(out: &mut Vec<u8>, encoding: Encoding, millis_behind_latest: u64, after: &After<'_>) {
    let mut form = Form { out, encoding };
    match after {
        After::Iterator(iterator) => {
            form.put(br#","NextShardIterator":"#, b"\x71NextShardIterator");
            form.text(iterator);
        }
        After::Continuation(number) => {
            form.put(br#","ContinuationSequenceNumber":""#, b"\x78\x1aContinuationSequenceNumber\x78\x38");
            SequenceDigits::new(*number).append_to(form.out);
            form.put(b"\"", b"");
        }
        After::Children(_) => {}
    }
    form.put(br#","MillisBehindLatest":"#, b"\x72MillisBehindLatest");
    form.number(millis_behind_latest);
    if let After::Children(children) = after {
        form.put(br#","ChildShards":["#, b"\x6bChildShards\x9f");
        for (nth, child) in children.iter().enumerate() {
            if nth > 0 {
                form.put(b",", b"");
            }
            write_child(&mut form, child);
        }
        form.put(b"]", b"\xff");
    }
    form.put(b"}", b"\xff");
}

fn write_child(form: &mut Form<'_>, child: &ChildShard<'_>) {
    form.put(br#"{"ShardId":""#, b"\xbf\x67ShardId\x74");
    form.out.extend_from_slice(&shard_id(child.shard));
    form.put(br#"","ParentShards":["#, b"\x6cParentShards\x9f");
    for (nth, parent) in child.parents.iter().enumerate() {
        form.put(if nth > 0 { br#",""# } else { br#"""# }, b"\x74");
        form.out.extend_from_slice(&shard_id(*parent));
        form.put(b"\"", b"");
    }
    form.put(br#"],"HashKeyRange":{"StartingHashKey":"#, b"\xff\x6cHashKeyRange\xbf\x6fStartingHashKey");
    form.text(&child.first.to_string());
    form.put(br#","EndingHashKey":"#, b"\x6dEndingHashKey");
    form.text(&child.last.to_string());
    form.put(b"}}", b"\xff\xff");
}
