//! Texts that clients hand back: iterators, page tokens, sequence numbers, ARNs. What is accepted is written so that it is
//! accepted as the same again.

use millstream::kinesis::arn::Arn;
use millstream::kinesis::seal::Sealer;
use millstream::shard::sequence::SequenceNumber;
use millstream::types::WallUs;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let sealer = Sealer::new(7);
    let now = WallUs(1_700_000_000_000_000);
    let _ = sealer.open_iterator(text, now);
    let _ = sealer.open_page(text, now);
    if let Ok(number) = text.parse::<SequenceNumber>() {
        assert_eq!(number.to_string(), text);
    }
    if let Some(arn) = Arn::parse(text) {
        // Seconds may have zeros before them.
        let written = arn.to_string();
        assert_eq!(Arn::parse(&written).map(|again| again.to_string()), Some(written.clone()));
    }
}
