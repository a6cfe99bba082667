//! Commands of the catalogue: what is accepted comes back as the same; whatever is applied, in whatever order, leaves a state
//! that comes back from its snapshot, and a command that is refused changes nothing.
//!
//! The input is commands, each behind its length in two bytes.

use millstream::catalog::{Catalog, Command};

use super::cursor::Cursor;

/// Commands of one input that are applied.
const COMMANDS_MAX: usize = 64;

/// Shards of the state at most: larger ones only take time.
const SHARDS_MAX: usize = 2_000;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut cursor = Cursor(data);
    let mut catalog = Catalog::new();
    for _ in 0..COMMANDS_MAX {
        if cursor.is_empty() {
            break;
        }
        let len = usize::from(cursor.short());
        let Ok(command) = Command::decode(cursor.take(len)) else { continue };
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Ok(&command));
        if command.check_limits().is_err() || catalog.shard_count() > SHARDS_MAX {
            continue;
        }
        let before = catalog.clone();
        let fits = catalog.check(&command).is_ok();
        let applied = catalog.apply(&command).is_ok();
        assert_eq!(fits, applied, "{command:?}");
        if !applied {
            assert_eq!(catalog, before, "{command:?} was refused");
        }
    }
    assert_eq!(Catalog::decode_snapshot(&catalog.encode_snapshot()), Ok(catalog));
}
