//! Snapshots of the catalogue: what is accepted is a state that comes back as the same, and one with a byte changed is refused.

use millstream::catalog::Catalog;

use super::cursor::Cursor;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut cursor = Cursor(data);
    let (at, with) = (usize::from(cursor.short()), cursor.byte());
    let _ = Catalog::decode_snapshot(cursor.0);
    let mut file = cursor.0.to_vec();
    file.resize(file.len().max(16), 0);
    let len = file.len() as u64;
    file[..4].copy_from_slice(b"MSC1");
    file[8..16].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&file[8..]);
    file[4..8].copy_from_slice(&crc.to_le_bytes());
    let Ok(state) = Catalog::decode_snapshot(&file) else { return };
    assert_eq!(Catalog::decode_snapshot(&state.encode_snapshot()).as_ref(), Ok(&state));
    let at = at % file.len();
    if file[at] != with {
        file[at] = with;
        assert!(Catalog::decode_snapshot(&file).is_err(), "byte {at} is {with}");
    }
}
