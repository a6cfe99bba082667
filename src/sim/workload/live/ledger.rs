//! What producers put and what was acknowledged; and what one reader has seen of it.
//!
//! A reader that reads every shard from its first record on, parents before their children, must see
//! - each acknowledged record once, where the acknowledgement says it is, with every byte as it was put;
//! - each record that was put at most once, acknowledged or not;
//! - the records that one producer put under one key in the order it put them;
//! - each shard without gaps, to its end if it is closed, before a record of its children.
//!
//! Not checked: the order of records of different producers, and of different keys.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::Lineage;
use crate::client::{Ack, Record};
use crate::sim::workload::contents::{Contents, Pattern, mark};
use crate::types::{Offset, ShardNumber};

/// Records by their number.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pattern: Pattern,
    puts: Vec<Put>,
}

#[derive(Debug)]
struct Put {
    producer: u64,
    contents: Contents,
    ack: Option<Where>,
}

#[derive(Clone, Copy, Debug)]
struct Where {
    shard: ShardNumber,
    /// `None` if the node had forgotten.
    offset: Option<Offset>,
}

impl Ledger {
    /// A producer puts a record of so many bytes of data: its number, partition key and data.
    pub(super) fn put(&mut self, producer: u64, bytes: u32) -> (u64, String, Vec<u8>) {
        let contents = Contents { id: self.puts.len() as u64, sizes: [bytes].into() };
        let (id, key, data) = (contents.id, contents.key(0), self.pattern.data(&contents, 0));
        self.puts.push(Put { producer, contents, ack: None });
        (id, key, data)
    }

    /// The record was acknowledged.
    pub(super) fn acked(&mut self, id: u64, ack: &Ack) {
        self.puts[id as usize].ack = Some(Where { shard: ack.shard, offset: ack.offset });
    }

    /// What is known of a record.
    pub(super) fn tell(&self, id: u64) -> String {
        format!("record {id}, {:?}", self.puts[id as usize])
    }

    /// The number of the record that is put next.
    pub(super) fn next(&self) -> u64 {
        self.puts.len() as u64
    }
}

/// What one reader has seen from the first records on.
#[derive(Debug, Default)]
pub(super) struct Pass {
    name: String,
    /// Records with smaller numbers have expired.
    from: u64,
    seen: BTreeSet<u64>,
    /// The last record seen of a producer and key.
    last: BTreeMap<(u64, String), u64>,
    /// Where shards go on.
    next: BTreeMap<ShardNumber, Offset>,
    /// Shards of whose children something was seen.
    over: BTreeSet<ShardNumber>,
}

impl Pass {
    /// Nothing was seen yet; records below `from` have expired.
    pub(super) fn new(name: String, from: u64) -> Self {
        Self { name, from, ..Self::default() }
    }

    /// A shard begins behind records that have expired.
    pub(super) fn begins(&mut self, shard: ShardNumber, at: Offset) {
        self.next.insert(shard, at);
    }

    /// The reader got a record.
    pub(super) fn see(&mut self, ledger: &Ledger, lineage: &Lineage, record: &Record) {
        let (name, shard) = (&self.name, record.shard);
        let next = self.next.entry(shard).or_default();
        assert_eq!(record.offset, *next, "{name}: a gap in {shard}");
        *next = record.offset.plus(1);
        if let Some(end) = lineage.end(shard) {
            assert!(record.offset < end, "{name}: {shard} ends at {end} and has a record {}", record.offset);
        }
        assert!(!self.over.contains(&shard), "{name}: {shard} goes on after its children began");
        for parent in lineage.parents(shard) {
            if self.over.insert(parent)
                && let Some(end) = lineage.end(parent)
                && let Some(read) = self.next.get(&parent)
            {
                assert_eq!(*read, end, "{name}: {shard} begins before its parent {parent} is read to its end");
            }
        }
        lineage.check_routed(shard, record.key());

        let (id, _) = mark(record.data()).expect("a record has a number");
        let put = ledger.puts.get(id as usize).unwrap_or_else(|| panic!("{name}: nobody put record {id}"));
        assert_eq!(record.key(), put.contents.key(0), "{name}: the key of record {id}");
        assert!(record.data() == ledger.pattern.data(&put.contents, 0), "{name}: the data of record {id}");
        assert!(id >= self.from, "{name}: record {id} has expired and was read");
        assert!(self.seen.insert(id), "{name}: record {id} twice, the second time at {shard} {}", record.offset);
        if let Some(acked) = put.ack {
            let is_there = acked.shard == shard && acked.offset.is_none_or(|offset| offset == record.offset);
            assert!(is_there, "{name}: record {id} was acknowledged at {acked:?}, and is at {shard} {}", record.offset);
        }
        if let Some(before) = self.last.insert((put.producer, record.key().to_owned()), id) {
            let acks = (&ledger.puts[before as usize], put, lineage.parents(shard));
            assert!(before < id, "{name}: record {id} of {} at {shard} came after {before}: {acks:?}", record.key());
        }
    }

    /// An acknowledged record that was not seen.
    pub(super) fn misses(&self, ledger: &Ledger) -> Option<u64> {
        let puts = ledger.puts.iter().skip(self.from as usize);
        let mut acked = puts.filter(|put| put.ack.is_some()).map(|put| put.contents.id);
        acked.find(|id| !self.seen.contains(id))
    }

    /// The reader has read everything: nothing acknowledged may be missing, nothing may be left behind an end.
    pub(super) fn is_whole(&self, ledger: &Ledger, lineage: &Lineage) {
        if let Some(id) = self.misses(ledger) {
            panic!("{}: record {id} is lost: {:?}", self.name, ledger.puts[id as usize]);
        }
        for (shard, read) in &self.next {
            if let Some(end) = lineage.end(*shard) {
                assert_eq!(*read, end, "{}: {shard} was not read to its end", self.name);
            }
        }
    }

    /// Who reads.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Records seen.
    pub(super) fn len(&self) -> u64 {
        self.seen.len() as u64
    }
}
