//! Bodies of every operation, JSON and CBOR: decoding and validation end in values or an error, and what is accepted was well-formed.

use millstream::kinesis::Encoding;
use millstream::kinesis::input::{Input, is_well_formed};
use millstream::kinesis::model::operations;

/// Runs one input.
pub fn run(data: &[u8]) {
    let [which, encoding, body @ ..] = data else { return };
    let operation = &operations()[usize::from(*which) % operations().len()];
    let encoding = Encoding::ALL[usize::from(*encoding) % 2];
    match Input::decode(operation, encoding, body) {
        // An empty body stands for no members.
        Ok(_) => assert!(body.is_empty() || is_well_formed(encoding, body)),
        Err(error) => drop((error.body(Encoding::Json), error.body(Encoding::Cbor))),
    }
}
