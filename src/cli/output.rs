//! Output: records and tables, for people and for programs; progress on a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::FormatArgs;
use super::exit::Failure;
use super::moment::Utc;
use crate::types::{Offset, ShardNumber, WallUs};

/// A record as it is printed.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Its shard.
    pub shard: ShardNumber,
    /// Its position there.
    pub offset: Offset,
    /// When it arrived.
    pub arrival: WallUs,
    /// Its partition key.
    pub key: &'a str,
    /// Its data.
    pub data: &'a [u8],
}

/// A record as a JSON line. Exactly one of `data` and `base64` is there.
#[derive(Serialize)]
struct JsonRecord<'a> {
    shard: u32,
    offset: u64,
    arrival: String,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Shard, offset, arrival, key and data on one line; what would disturb a terminal is escaped.
    Line,
    /// One JSON object per line.
    Json,
    /// The data, then this byte.
    Raw(u8),
}

impl Format {
    /// The format that was asked for.
    #[must_use]
    pub const fn of(args: FormatArgs) -> Self {
        match (args.json, args.raw, args.null) {
            (true, _, _) => Self::Json,
            (_, true, true) => Self::Raw(0),
            (_, true, false) => Self::Raw(b'\n'),
            _ => Self::Line,
        }
    }

    /// Appends a record to `out`.
    pub fn write(self, record: &Shown<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Raw(delimiter) => {
                out.extend_from_slice(record.data);
                out.push(delimiter);
            }
            Self::Line => {
                let place = format!("{} {} {} ", record.shard, record.offset, Utc(record.arrival));
                out.extend_from_slice(place.as_bytes());
                out.extend_from_slice(escaped(record.key.as_bytes()).as_bytes());
                out.push(b' ');
                out.extend_from_slice(escaped(record.data).as_bytes());
                out.push(b'\n');
            }
            Self::Json => {
                let text = std::str::from_utf8(record.data).ok();
                let json = JsonRecord {
                    shard: record.shard.0,
                    offset: record.offset.0,
                    arrival: Utc(record.arrival).to_string(),
                    key: record.key,
                    data: text,
                    base64: text.is_none().then(|| BASE64.encode(record.data)),
                };
                serde_json::to_writer(&mut *out, &json).expect("texts and numbers always serialize, into memory");
                out.push(b'\n');
            }
        }
    }
}

/// Text that is safe on a terminal and keeps to one line: control characters and bytes that are not UTF-8 are escaped.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                c if c.is_control() => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("writing to memory");
        }
    }
    out
}

/// Writes text to standard output.
pub fn say(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(Failure::from_output)
}

/// A number of bytes in a few characters: `512B`, `1.5MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.into_iter().find(|(_, shift)| bytes >> shift > 0);
    let Some((name, shift)) = unit else { return format!("{bytes}B") };
    match bytes.trailing_zeros() >= shift {
        true => format!("{}{name}", bytes >> shift),
        false => format!("{:.1}{name}", bytes as f64 / (1u64 << shift) as f64),
    }
}

/// Whether a cell of a table is a number, with a unit or without: `12`, `6.2%`, `<0.1%`, `1.5MiB`.
fn is_number(cell: &str) -> bool {
    let digits = cell.trim_start_matches('<').trim_end_matches(|c: char| c == '%' || c.is_ascii_alphabetic());
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Whether a cell stands for a number that there is not.
fn is_missing(cell: &str) -> bool {
    matches!(cell, "-" | "?")
}

/// Rows under headings, columns aligned: numbers to the right, the rest to the left.
#[must_use]
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let of_numbers = |column: usize| {
        let mut cells = rows.iter().map(|row| row[column].as_str());
        cells.clone().any(is_number) && cells.all(|cell| is_number(cell) || is_missing(cell))
    };
    let columns: [(usize, bool); N] = std::array::from_fn(|column| (width(column), of_numbers(column)));
    let line = |cells: [&str; N]| {
        let cells = cells
            .iter()
            .zip(columns)
            .map(|(cell, (width, number))| if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let body = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    std::iter::once(line(headings)).chain(body).collect()
}

/// A progress bar on standard error, if that is a terminal; nothing otherwise.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Over `total_bytes` of input, if known. `quiet` shows nothing.
    #[must_use]
    pub fn over_bytes(total_bytes: Option<u64>, quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let (bar, template) = match total_bytes {
            Some(total) => (ProgressBar::new(total), "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}"),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates above are valid"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// So many more bytes are stored, `records` in all.
    pub fn advance(&self, bytes: u64, records: u64) {
        self.bar.inc(bytes);
        self.bar.set_message(format!("{records} records"));
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::InputArgs;
    use crate::cli::input::InputRecords;

    fn shown(data: &[u8]) -> Shown<'_> {
        let arrival = WallUs(1_769_860_800_000_001);
        Shown { shard: ShardNumber(2), offset: Offset(40), arrival, key: "k\u{1b}", data }
    }

    fn written(format: Format, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        format.write(&shown(data), &mut out);
        out
    }

    /// Goal: a line for people holds everything, stays one line, and lets no escape sequence through to the terminal.
    #[test]
    fn lines_are_safe() {
        let line = String::from_utf8(written(Format::Line, b"a\n\x1b[31m\\\xff\xc3\xa9")).unwrap();
        assert_eq!(line, "shardId-000000000002 40 2026-01-31T12:00:00.000001Z k\\u{1b} a\\n\\u{1b}[31m\\\\\\xffé\n");
    }

    /// Goal: raw output is the bytes and the delimiter, nothing else.
    #[test]
    fn raw_is_raw() {
        assert_eq!(written(Format::Raw(0), b"a\n\xff"), b"a\n\xff\0");
        assert_eq!(Format::of(FormatArgs { raw: true, ..FormatArgs::default() }), Format::Raw(b'\n'));
        assert_eq!(Format::of(FormatArgs { raw: true, null: true, json: false }), Format::Raw(0));
        assert_eq!(Format::of(FormatArgs { json: true, ..FormatArgs::default() }), Format::Json);
        assert_eq!(Format::of(FormatArgs::default()), Format::Line);
    }

    /// Goal: the JSON of `get` is what `put --json-records` reads, for text and for any bytes.
    #[test]
    fn json_goes_round() {
        let line = written(Format::Json, b"text");
        let text = r#"{"shard":2,"offset":40,"arrival":"2026-01-31T12:00:00.000001Z","key":"k\u001b","data":"text"}"#;
        assert_eq!(String::from_utf8(line).unwrap(), format!("{text}\n"));
        let args = InputArgs { json_records: true, ..InputArgs::default() };
        for data in [&b"text"[..], b"", b"a\nb\0", b"\xff\xfe", &[0; 100]] {
            let line = written(Format::Json, data);
            let record = InputRecords::new(&line[..], &args).next().unwrap().unwrap();
            assert_eq!((record.key.as_str(), record.data.as_slice()), ("k\u{1b}", data));
        }
    }

    /// Goal: sizes are exact where they are round and close where they are not.
    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1536, "1.5KiB"), (3 << 20, "3MiB")] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "16777216.0TiB");
    }

    /// Goal: tables align, with numbers to the right and no blanks at line ends.
    #[test]
    fn tables_align() {
        let rows =
            [["orders".to_owned(), "4".to_owned(), "x".to_owned()], ["é".to_owned(), "128".to_owned(), String::new()]];
        let expected = "NAME    SHARDS  NOTE\norders       4  x\né          128\n";
        assert_eq!(table(["NAME", "SHARDS", "NOTE"], &rows), expected);
        assert_eq!(table(["A", "B"], &[]), "A  B\n");
        let rows = [
            ["6.2%".to_owned(), "-".to_owned(), "-".to_owned()],
            ["<0.1%".to_owned(), "12KiB".to_owned(), "-".to_owned()],
        ];
        assert_eq!(table(["SHARE", "IN", "X"], &rows), "SHARE     IN  X\n 6.2%      -  -\n<0.1%  12KiB  -\n");
    }
}
