//! Bodies: what is taken for records is written as the same bytes again, and a body that passes its check holds the records
//! promised, each within the stream's terms.

use millstream::format::record::{self, Records, Terms, check_body};

/// Runs one input.
pub fn run(data: &[u8]) {
    let [count, flags, body @ ..] = data else { return };
    let all: Result<Vec<_>, _> = Records::new(body).collect();
    if let Ok(all) = &all {
        let mut again = Vec::new();
        all.iter().for_each(|record| record::encode(record.key, record.data, &mut again));
        assert_eq!(again, body);
    }
    let terms = Terms { record_bytes_max: 1 << (flags >> 4), keyless: flags & 1 != 0 };
    if check_body(body, (*count).into(), terms).is_ok() {
        let all = all.expect("a body that passes is a row of records");
        assert_eq!(all.len(), usize::from(*count));
        for record in all {
            assert!(terms.keyless || !record.key.is_empty());
            assert!(record.key.len() + record.data.len() <= terms.record_bytes_max as usize);
        }
    }
}
