//! Holds what is written against the shape of the output, in debug builds, so that tests find what clients would stumble
//! over. In other builds it does nothing.

use std::fmt;

use crate::kinesis::model::{Kind, Shape};
use crate::kinesis::validate;

/// What is known of a structure that is being written.
pub(super) struct Check {
    shape: Option<&'static Shape>,
    /// The members written so far, a bit each.
    written: u64,
}

/// What was written as a value.
pub(super) enum Written<'v> {
    Text(&'v dyn fmt::Display),
    Int,
    Bool,
    Time,
    Blob,
    Structure,
    List,
    Map,
}

impl Check {
    pub(super) fn new(shape: Option<&'static Shape>) -> Self {
        let shape = shape.filter(|_| cfg!(debug_assertions));
        Self { shape, written: 0 }
    }

    /// Notes a member; its shape.
    pub(super) fn member(&mut self, name: &str, written: Written<'_>) -> Option<&'static Shape> {
        let shape = self.shape?;
        let Some((at, member)) = shape.member(name) else { panic!("{} has no member {name}", shape.name) };
        assert!(self.written & 1 << at == 0, "{name} of {} is written twice", shape.name);
        self.written |= 1 << at;
        matches(member.shape, &written, name);
        Some(member.shape)
    }

    /// The structure ends.
    pub(super) fn close(&self) {
        let Some(shape) = self.shape else { return };
        for (at, member) in shape.members().iter().enumerate() {
            let is_written = self.written & 1 << at != 0;
            assert!(is_written || !member.required, "{} lacks {}, which is required", shape.name, member.name);
        }
    }
}

/// Notes an element of a list; its shape.
pub(super) fn element(list: Option<&'static Shape>, written: Written<'_>) -> Option<&'static Shape> {
    let list = list?;
    let Kind::List { member, .. } = list.kind else { panic!("{} is no list", list.name) };
    matches(member, &written, list.name);
    Some(member)
}

fn matches(shape: &'static Shape, written: &Written<'_>, name: &str) {
    let is_of_kind = match (&shape.kind, written) {
        (Kind::String { .. }, Written::Text(text)) => {
            let text = text.to_string();
            assert!(validate::is_valid_text(shape, &text), "{text:?} is no {} for {name}", shape.name);
            true
        }
        (Kind::Integer { .. } | Kind::Long { .. }, Written::Int)
        | (Kind::Boolean, Written::Bool)
        | (Kind::Timestamp, Written::Time)
        | (Kind::Blob { .. }, Written::Blob)
        | (Kind::Structure(_), Written::Structure)
        | (Kind::List { .. }, Written::List)
        | (Kind::Map { .. }, Written::Map) => true,
        _ => false,
    };
    assert!(is_of_kind, "{name} is a {}: {:?}", shape.name, shape.kind);
}
