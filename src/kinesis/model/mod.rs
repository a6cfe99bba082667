//! The service model: every operation with its input, its output and its errors, every shape with its constraints.
//!
//! The tables are static data in `generated`, written by `tools/kinesis-model/generate.py` from the official model. What
//! reads, checks and writes bodies walks these tables; no operation has code of its own.
//!
//! Constraint: no shape contains itself, so a walk over a shape is bounded by the table (the generator refuses a model that
//! breaks this).

mod generated;
mod pattern;
#[cfg(test)]
mod tests;

pub use pattern::Pattern;

/// An operation of the service.
#[derive(Debug)]
pub struct Operation {
    /// Its name, as in `X-Amz-Target: Kinesis_20131202.<name>`.
    pub name: &'static str,
    /// The structure it takes.
    pub input: &'static Shape,
    /// The structure it answers with; `None` answers with an empty body.
    pub output: Option<&'static Shape>,
    /// The names of the exceptions the model lists for it, sorted.
    pub errors: &'static [&'static str],
}

/// A named type of the model.
#[derive(Debug)]
pub struct Shape {
    /// Its name in the model.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// What a shape is, with its constraints. Bounds are inclusive; `None` is no bound.
#[derive(Debug)]
pub enum Kind {
    /// Named members, in the order in which the service checks them.
    Structure(&'static [Member]),
    /// A sequence.
    List {
        /// What it holds.
        member: &'static Shape,
        /// The least number of elements.
        min: Option<u64>,
        /// The greatest number of elements.
        max: Option<u64>,
    },
    /// Texts to texts.
    Map {
        /// What its keys are.
        key: &'static Shape,
        /// What its values are.
        value: &'static Shape,
        /// The least number of entries.
        min: Option<u64>,
        /// The greatest number of entries.
        max: Option<u64>,
    },
    /// A text.
    String {
        /// The least length, in characters.
        min: Option<u64>,
        /// The greatest length, in characters.
        max: Option<u64>,
        /// What the whole text must match.
        pattern: Option<Pattern>,
        /// The values of an enumeration; empty if it is none.
        values: &'static [&'static str],
    },
    /// A number of 32 bits.
    Integer {
        /// The least value.
        min: Option<i64>,
        /// The greatest value.
        max: Option<i64>,
    },
    /// A number of 64 bits.
    Long {
        /// The least value.
        min: Option<i64>,
        /// The greatest value.
        max: Option<i64>,
    },
    /// True or false.
    Boolean,
    /// Bytes.
    Blob {
        /// The least length, in bytes.
        min: Option<u64>,
        /// The greatest length, in bytes.
        max: Option<u64>,
    },
    /// A point in time, in milliseconds.
    Timestamp,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Its name in bodies.
    pub name: &'static str,
    /// What it is.
    pub shape: &'static Shape,
    /// Whether a structure without it is invalid.
    pub required: bool,
}

/// The operation of that name, in exactly this spelling.
#[must_use]
pub fn operation(name: &str) -> Option<&'static Operation> {
    let all = operations();
    all.binary_search_by(|operation| operation.name.cmp(name)).ok().map(|at| &all[at])
}

/// All operations, sorted by name.
#[must_use]
pub fn operations() -> &'static [Operation] {
    &generated::operations::OPERATIONS
}

impl Shape {
    /// The members of a structure; none of any other shape.
    #[must_use]
    pub fn members(&self) -> &'static [Member] {
        match self.kind {
            Kind::Structure(members) => members,
            _ => &[],
        }
    }

    /// The member of that name, with its place among [`members`](Self::members).
    #[must_use]
    pub fn member(&self, name: &str) -> Option<(usize, &'static Member)> {
        self.members().iter().enumerate().find(|(_, member)| member.name == name)
    }
}

/// Shapes are static data: one is equal to itself only.
impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

// The rows of the generated tables.

const fn structure(name: &'static str, members: &'static [Member]) -> Shape {
    Shape { name, kind: Kind::Structure(members) }
}

const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, shape, required: true }
}

const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, shape, required: false }
}

const fn list(name: &'static str, member: &'static Shape, min: Option<u64>, max: Option<u64>) -> Shape {
    Shape { name, kind: Kind::List { member, min, max } }
}

const fn map(
    name: &'static str,
    key: &'static Shape,
    value: &'static Shape,
    min: Option<u64>,
    max: Option<u64>,
) -> Shape {
    Shape { name, kind: Kind::Map { key, value, min, max } }
}

const fn string(name: &'static str, min: Option<u64>, max: Option<u64>, pattern: Option<Pattern>) -> Shape {
    Shape { name, kind: Kind::String { min, max, pattern, values: &[] } }
}

const fn enumeration(name: &'static str, values: &'static [&'static str]) -> Shape {
    Shape { name, kind: Kind::String { min: None, max: None, pattern: None, values } }
}

const fn integer(name: &'static str, min: Option<i64>, max: Option<i64>) -> Shape {
    Shape { name, kind: Kind::Integer { min, max } }
}

const fn long(name: &'static str, min: Option<i64>, max: Option<i64>) -> Shape {
    Shape { name, kind: Kind::Long { min, max } }
}

const fn blob(name: &'static str, min: Option<u64>, max: Option<u64>) -> Shape {
    Shape { name, kind: Kind::Blob { min, max } }
}
