//! What is done to which file.

use std::fmt;
use std::path::Path;

use super::Image;
use super::image::{DATA, frames};
use crate::format::frame::Kind;
use crate::format::names;
use crate::limits::BLOCK_BYTES;
use crate::sim::{HostId, Sim};

/// Files with more bytes in use than this are not swept byte by byte: only around frames, and here and there.
const WHOLE_BYTES_MAX: u64 = 96 << 10;

/// Distance of the places in larger files.
const HERE_AND_THERE: u64 = 997;

/// Bytes behind those in use that are swept as well.
const BEHIND: u64 = 16;

/// One way to spoil one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The file.
    pub path: String,
    /// What becomes of it.
    pub how: Spoilt,
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// A byte has another value.
    Byte {
        /// Which.
        pos: u64,
        /// What it is now.
        value: u8,
    },
    /// A stretch is zero.
    Zeroed {
        /// Where it starts.
        pos: u64,
        /// Its length.
        len: u64,
    },
    /// It ends here.
    Cut(u64),
    /// A block of garbage follows it.
    Longer,
    /// There is no such file.
    Gone,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path, self.how)
    }
}

impl Case {
    /// Does it to a copy of the image.
    pub(super) fn spoil(&self, sim: &Sim, host: HostId) {
        let done = match self.how {
            Spoilt::Byte { pos, value } => sim.overwrite(host, &self.path, pos, &[value]),
            Spoilt::Zeroed { pos, len } => sim.overwrite(host, &self.path, pos, &vec![0; len as usize]),
            Spoilt::Cut(len) => sim.set_len(host, &self.path, len),
            Spoilt::Longer => {
                let len = sim.read_file(host, &self.path).expect("it is there").len() as u64;
                sim.overwrite(host, &self.path, len, &[0xa5; BLOCK_BYTES])
            }
            Spoilt::Gone => sim.remove_file(host, &self.path),
        };
        done.expect("the file is there");
    }

    /// The bytes that are changed, if it changes some and leaves all others.
    pub(super) const fn bytes(&self) -> Option<(u64, u64)> {
        match self.how {
            Spoilt::Byte { pos, .. } => Some((pos, pos + 1)),
            Spoilt::Zeroed { pos, len } => Some((pos, pos + len)),
            Spoilt::Cut(_) | Spoilt::Longer | Spoilt::Gone => None,
        }
    }

    /// Whether nothing that anybody relies on is changed: `used` bytes of the file carry something.
    pub(super) fn is_harmless(&self, used: u64, file: &[u8]) -> bool {
        match self.how {
            Spoilt::Byte { pos, .. } => pos >= used,
            Spoilt::Zeroed { pos, len } => {
                let end = (pos + len).min(used).max(pos.min(used)) as usize;
                file[pos.min(used) as usize..end].iter().all(|byte| *byte == 0)
            }
            // The space reserved in a segment is written to later; a file that is replaced as a whole has none.
            Spoilt::Cut(len) => len >= used,
            Spoilt::Longer => true,
            Spoilt::Gone => used == 0,
        }
    }
}

/// How many bytes of a file carry something. What lies behind them may be anything.
pub(super) fn used(path: &str, file: &[u8]) -> u64 {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let u64_at =
        |at: usize| file.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight")));
    if names::parse_segment(name).is_some() {
        // Nothing, if it was prepared and not used. Behind the last frame only the next one would tell that padding is damaged.
        frames(file)
            .iter()
            .rfind(|(_, header)| header.kind != Kind::Pad)
            .map_or(0, |(pos, header)| pos + header.frame_bytes() as u64)
    } else if names::parse_snapshot(name).is_some() {
        u64_at(8)
    } else if name == "LOCK" {
        0
    } else {
        20 + u64_at(12)
    }
}

/// Every case there is for an image, in an order that spreads the files.
#[must_use]
pub fn cases(image: &Image) -> Vec<Case> {
    let mut all = Vec::new();
    let files = image.sim.files(image.host).into_iter().map(|(path, _)| path);
    for path in files.filter(|path| path.starts_with(DATA)) {
        let file = image.sim.read_file(image.host, &path).expect("it is listed");
        let used = used(&path, &file);
        // Padding behind it is spoilt as well.
        let last = frames(&file).last().map_or(used, |(pos, header)| pos + header.frame_bytes() as u64);
        let starts: Vec<u64> = frames(&file).into_iter().map(|(pos, _)| pos).collect();
        let is_swept = |pos: &u64| {
            used <= WHOLE_BYTES_MAX
                || pos.is_multiple_of(HERE_AND_THERE)
                || *pos < 64
                || starts.iter().any(|start| (*start..start + 136).contains(pos))
        };
        let mut add = |how| all.push(Case { path: path.clone(), how });
        for pos in (0..(last + BEHIND).min(file.len() as u64)).filter(is_swept) {
            let old = file[pos as usize];
            for value in [old ^ 1 << (pos % 8), 0, 0xff] {
                if value != old {
                    add(Spoilt::Byte { pos, value });
                }
            }
            add(Spoilt::Cut(pos));
        }
        for len in [512, BLOCK_BYTES as u64] {
            (0..last.min(4 * WHOLE_BYTES_MAX)).step_by(len as usize).for_each(|pos| add(Spoilt::Zeroed { pos, len }));
        }
        add(Spoilt::Longer);
        add(Spoilt::Gone);
    }
    all
}
