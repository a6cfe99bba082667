use super::*;

fn tag(producer: u32, key: u32, seq: u64) -> Tag {
    Tag { producer, key, seq, intended_ns: 0, actual_ns: 0 }
}

/// A ledger of two producers and three keys, in which each has sent `sent` records of each key.
fn ledger(sent: u64) -> Ledger {
    let mut ledger = Ledger::new(0, 2, 3);
    for _ in 0..sent {
        for producer in 0..2 {
            for key in 0..3 {
                ledger.next(producer, key);
            }
        }
    }
    ledger.all_acked();
    ledger
}

/// All records that [`ledger`] says were sent, in order.
fn all(sent: u64) -> Vec<Tag> {
    let lanes = (0..2).flat_map(|producer| (0..3).map(move |key| (producer, key)));
    (0..sent).flat_map(|seq| lanes.clone().map(move |(producer, key)| tag(producer, key, seq))).collect()
}

fn read(tags: &[Tag]) -> Reader {
    let mut reader = Reader::new(2, 3);
    tags.iter().for_each(|tag| reader.received(tag));
    reader
}

/// Where a record of producer 1, key 2 is in [`all`].
fn at(tags: &[Tag], seq: u64) -> usize {
    tags.iter().position(|other| *other == tag(1, 2, seq)).unwrap()
}

fn remove(tags: &mut Vec<Tag>, seq: u64) {
    tags.remove(at(tags, seq));
}

/// Goal: what came whole, once and in order per key is fine, however the keys are mixed.
#[test]
fn a_good_run_is_good() {
    let findings = read(&all(50)).finish(&[ledger(50)]);
    assert!(findings.is_good() && findings.received == 300, "{findings:?}");
    let mut by_key = all(50);
    by_key.sort_by_key(|tag| std::cmp::Reverse((tag.key, tag.producer)));
    assert!(read(&by_key).finish(&[ledger(50)]).is_good());
}

/// Goal: each injected fault is found, counted, called by its name, and shown with an example; and nothing else is.
#[test]
fn injected_faults_are_found() {
    type Case = (&'static str, fn(&mut Vec<Tag>), fn(&mut Findings));
    let table: [Case; 9] = [
        ("one lost in the middle", |tags| remove(tags, 20), |f| f.lost = 1),
        ("the first lost", |tags| remove(tags, 0), |f| f.lost = 1),
        ("the last lost", |tags| remove(tags, 49), |f| f.lost = 1),
        ("everything lost", Vec::clear, |f| f.lost = 300),
        ("one twice in a row", |tags| tags.insert(at(tags, 20), tag(1, 2, 20)), |f| f.duplicates = 1),
        ("one again much later", |tags| tags.push(tag(1, 2, 20)), |f| f.duplicates = 1),
        (
            "two neighbours of a key changed places",
            |tags| {
                let (a, b) = (at(tags, 20), at(tags, 21));
                tags.swap(a, b);
            },
            |f| f.reordered = 1,
        ),
        (
            "one came last",
            |tags| {
                let late = tags.remove(at(tags, 20));
                tags.push(late);
            },
            |f| f.reordered = 1,
        ),
        (
            "a key's first ten came backwards",
            |tags| {
                let places: Vec<_> = (0..10).map(|seq| at(tags, seq)).collect();
                (0..10).for_each(|n| tags[places[n]] = tag(1, 2, 9 - n as u64));
            },
            |f| f.reordered = 9,
        ),
    ];
    for (name, inject, expect) in table {
        let mut tags = all(50);
        inject(&mut tags);
        let found = read(&tags).finish(&[ledger(50)]);
        let mut expected = Findings { received: tags.len() as u64, ..Findings::default() };
        expect(&mut expected);
        assert!(!found.examples.is_empty(), "{name}");
        assert_eq!(Findings { examples: vec![], ..found.clone() }, expected, "{name}");
        assert!(!found.is_good(), "{name}");
    }
}

/// Goal: damaged records count as damaged, and those of another run neither as damaged nor as received.
#[test]
fn damaged_records_are_counted() {
    let mut reader = read(&all(5));
    reader.damaged("k", &PayloadError::Checksum { stored: 1, computed: 2 });
    reader.damaged("k", &PayloadError::Short { have: 3 });
    reader.damaged("k", &PayloadError::Key { sent: 1 });
    reader.damaged("k", &PayloadError::OtherRun { run: 9 });
    // Intact by its checksum, and of a producer or key that there is not.
    reader.received(&tag(2, 0, 0));
    reader.received(&tag(0, 3, 0));
    let found = reader.finish(&[ledger(5)]);
    assert_eq!((found.corrupt, found.strangers, found.received, found.lost), (5, 1, 30, 0));
    let strangers = Findings { strangers: 5, ..Findings::default() };
    assert!(strangers.is_good());
}

/// Goal: a put that failed may be missing; one of unknown outcome may be there or not; one that was refused must not come.
#[test]
fn failed_puts_are_no_losses() {
    let without = |seqs: &[u64]| {
        let mut tags = all(50);
        tags.retain(|other| !(other.producer == 1 && other.key == 2 && seqs.contains(&other.seq)));
        read(&tags)
    };
    let mut ledger = ledger(50);
    for seq in [20, 21, 49] {
        ledger.refused(1, 2, seq);
    }
    ledger.unknown(1, 2, 30);
    ledger.unknown(1, 2, 31);
    assert!(without(&[20, 21, 49, 30]).is_complete(std::slice::from_ref(&ledger)));
    let good = without(&[20, 21, 49, 30]).finish(std::slice::from_ref(&ledger));
    assert!(good.is_good(), "{good:?}");
    let lost = without(&[19, 20, 21, 22, 48, 49]).finish(std::slice::from_ref(&ledger));
    assert_eq!((lost.lost, lost.stored_though_refused), (3, 0), "{lost:?}");
    assert!(lost.examples.iter().any(|text| text.contains("19 of producer 1, key 2")), "{lost:?}");
    let lied = without(&[]).finish(std::slice::from_ref(&ledger));
    assert_eq!((lied.lost, lied.stored_though_refused), (0, 3), "{lied:?}");
    assert!(!lied.is_good());
}

/// Goal: what has no outcome when the run ends is no loss, come or not; what was acknowledged before it is, and so is a refusal
/// among them that was a lie.
#[test]
fn without_outcome_is_no_loss() {
    let mut ledger = Ledger::new(0, 2, 3);
    for seq in 0..50 {
        assert_eq!(ledger.next(1, 2), seq);
        if seq < 30 {
            ledger.acked(1, 2, seq);
        }
    }
    ledger.refused(1, 2, 33);
    ledger.unknown(1, 2, 31);
    ledger.given_up();
    let read = |seqs: &[u64]| {
        let mut reader = Reader::new(2, 3);
        seqs.iter().for_each(|seq| reader.received(&tag(1, 2, *seq)));
        reader.finish(std::slice::from_ref(&ledger))
    };
    let acked: Vec<u64> = (0..30).collect();
    assert!(read(&acked).is_good(), "{:?}", read(&acked));
    let some: Vec<u64> = (0..35).filter(|seq| *seq != 33).collect();
    assert!(read(&some).is_good(), "{:?}", read(&some));
    assert_eq!(read(&acked[..28]).lost, 2);
    let lied: Vec<u64> = (0..40).collect();
    assert_eq!((read(&lied).lost, read(&lied).stored_though_refused), (0, 1));
    let found = Verification::new(std::slice::from_ref(&ledger), Vec::new());
    assert_eq!((found.sent, found.acked, found.refused, found.unknown), (50, 30, 1, 19));
}

/// Goal: several threads' ledgers are held against one reader, each for its own producers.
#[test]
fn ledgers_add_up() {
    let (mut first, mut second) = (Ledger::new(0, 1, 3), Ledger::new(1, 1, 3));
    for _ in 0..10 {
        first.next(0, 1);
        second.next(1, 2);
    }
    let mut tags: Vec<_> = (0..10).flat_map(|seq| [tag(0, 1, seq), tag(1, 2, seq)]).collect();
    assert!(read(&tags).finish(&[first.clone(), second.clone()]).is_good());
    tags.pop();
    let found = Verification::new(&[first, second], vec![read(&tags)]);
    assert_eq!((found.sent, found.groups[0].lost), (20, 1));
    assert_eq!(found.failures(), ["group 0: 1 records acknowledged and lost"]);
}

/// Goal: a reader is complete exactly when the last acknowledged record is there.
#[test]
fn completeness_is_exact() {
    let (tags, ledgers) = (all(20), [ledger(20)]);
    for end in 0..tags.len() {
        assert!(!read(&tags[..end]).is_complete(&ledgers), "{end}");
    }
    assert!(read(&tags).is_complete(&ledgers));
}

/// Goal: memory does not depend on how much went well, and is bounded when everything goes wrong; that it is no longer
/// exact then is said.
#[test]
fn memory_is_bounded() {
    let mut reader = Reader::new(1, 1);
    (0..1_000_000).for_each(|seq| reader.received(&tag(0, 0, seq)));
    assert_eq!((reader.gaps.ranges.len(), reader.next.len()), (0, 1));
    // Every second record is missing: each gap is one number wide.
    let mut reader = Reader::new(1, 1);
    (0..GAPS_MAX as u64 + 1_000).for_each(|seq| reader.received(&tag(0, 0, seq * 2)));
    assert_eq!(reader.gaps.ranges.len(), GAPS_MAX);
    let found = reader.finish(&[]);
    assert!(found.overflowed && !found.is_good());
    assert_eq!(found.examples.len(), 0);
}

/// Goal: sets of ranges hold what a set of numbers holds, whatever the order of changes.
#[test]
fn ranges_are_sets() {
    let mut rng = crate::rng::Rng::new(9);
    let (mut ranges, mut model) = (Ranges::default(), std::collections::BTreeSet::new());
    for _ in 0..20_000 {
        let number = rng.below(60);
        if model.contains(&number) {
            assert!(ranges.remove(5, number));
            model.remove(&number);
        } else {
            assert!(!ranges.remove(5, number));
            let end = (number..60).take(rng.below(4) as usize + 1).find(|n| model.contains(n));
            let end = end.unwrap_or((number + 1).min(60));
            ranges.insert(5, number..end);
            model.extend(number..end);
        }
        assert!(!ranges.contains(4, number) && !ranges.contains(6, number));
        assert_eq!(ranges.contains(5, number), model.contains(&number));
        let missing = (10..50).filter(|n| !model.contains(n)).count() as u64;
        assert_eq!(ranges.missing_in(5, 10..50), missing);
        let mut at = ranges.of(5).collect::<Vec<_>>().into_iter().peekable();
        while let Some(range) = at.next() {
            assert!(at.peek().is_none_or(|next| range.end < next.start), "ranges that touch are one");
        }
    }
}
