//! The fast way of PutRecord and PutRecords: whatever it takes, the general way takes too, and both mean the same records.

use millstream::kinesis::Encoding;
use millstream::kinesis::input::Input;
use millstream::kinesis::model::operation;
use millstream::kinesis::put::{Call, Scratch, Sink, scan};

type Record = (String, Option<u128>, Vec<u8>);

#[derive(Default)]
struct Records {
    all: Vec<(String, Option<u128>)>,
    data: Vec<u8>,
    starts: Vec<usize>,
}

impl Sink for Records {
    fn record(&mut self, key: &str, explicit_hash: Option<u128>, _data_len: usize) -> &mut Vec<u8> {
        self.all.push((key.to_owned(), explicit_hash));
        self.starts.push(self.data.len());
        &mut self.data
    }
}

impl Records {
    fn list(self) -> Vec<Record> {
        let ends = self.starts.iter().skip(1).copied().chain([self.data.len()]);
        let data = self.starts.iter().zip(ends).map(|(start, end)| self.data[*start..end].to_vec());
        self.all.into_iter().zip(data).map(|((key, hash), data)| (key, hash, data)).collect()
    }
}

fn record(input: &Input<'_>) -> Record {
    let hash = input.str("ExplicitHashKey").map(|text| text.parse().expect("the fast way took it"));
    (input.str("PartitionKey").unwrap_or_default().to_owned(), hash, input.blob("Data").unwrap_or_default().to_vec())
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let [flags, body @ ..] = data else { return };
    let encoding = Encoding::ALL[usize::from(flags & 1)];
    let (call, name) = if flags & 2 == 0 { (Call::Records, "PutRecords") } else { (Call::Record, "PutRecord") };
    let mut scratch = Scratch::default();
    let Some(scan) = scan(call, encoding, body, &mut scratch) else { return };
    let mut records = Records::default();
    if scan.feed(&mut records).is_err() {
        return;
    }
    let input =
        Input::decode(operation(name).expect("it is one"), encoding, body).expect("the general way takes it too");
    let general: Vec<_> = match call {
        Call::Record => vec![record(&input)],
        Call::Records => input.structures("Records").expect("it is required").map(record).collect(),
    };
    assert_eq!(records.list(), general);
    assert_eq!(scan.head().stream_name, input.str("StreamName"));
}
