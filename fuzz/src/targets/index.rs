//! Index files: a payload that is accepted is written as the same bytes again, look-ups in it find an entry that is there,
//! and a file with a byte changed is refused. The tables of producers in it are read as well.

use millstream::codec::Reader;
use millstream::format::index::{before_offset, before_time, decode, encode};
use millstream::format::sealed;
use millstream::shard::producers::Producers;
use millstream::types::{Offset, WallUs};

use super::cursor::Cursor;

const MAGIC: u32 = u32::from_le_bytes(*b"MSI1");

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut cursor = Cursor(data);
    let (at, with) = (usize::from(cursor.short()), cursor.byte());
    let _ = decode(cursor.0);
    let mut file = sealed::seal(MAGIC, 1, cursor.0);
    let Ok((summary, entries)) = decode(&file) else { return };
    assert_eq!(encode(&summary, entries), file);
    for entry in entries {
        let _ = (before_offset(entries, entry.offset()), before_time(entries, entry.arrival()));
    }
    let _ = (before_offset(entries, Offset(u64::MAX)), before_time(entries, WallUs(0)));
    if let Ok(producers) = Producers::decode(&mut Reader::new(&summary.producers)) {
        let mut again = Vec::new();
        producers.encode(&mut again);
        assert_eq!(again.len(), producers.encoded_bytes());
        let twice = Producers::decode(&mut Reader::new(&again)).expect("it was just written");
        assert_eq!(twice.len(), producers.len());
    }
    let at = at % file.len();
    if file[at] != with {
        file[at] = with;
        assert!(decode(&file).is_err(), "byte {at} is {with}");
    }
}
