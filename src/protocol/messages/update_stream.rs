//! UpdateStream: other settings for a stream.

use super::{Decode, Encode, Operation, SettingsChange, StreamSettings, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::STREAM_NAME_BYTES_MAX;
use crate::protocol::Opcode;

/// Changes settings of a stream.
///
/// ```text
/// 0 str16 name   then 65 bytes settings
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateStream<'a> {
    /// The stream's name.
    pub name: &'a str,
    /// The settings to change.
    pub settings: SettingsChange,
}

/// Answers an [`UpdateStream`]: the settings are durable, and in force for every request sent after this answer.
///
/// ```text
/// 0 68 bytes settings   68 u64 catalogue_version
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateStreamAnswer {
    /// All settings as they are now.
    pub settings: StreamSettings,
    /// Version of the catalogue with the change in it.
    pub catalogue_version: u64,
}

impl Operation for UpdateStream<'_> {
    const OPCODE: Opcode = Opcode::UpdateStream;
    type Answer<'a> = UpdateStreamAnswer;
}

impl Encode for UpdateStream<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.name.as_bytes());
        self.settings.encode(out);
    }
}

impl<'a> Decode<'a> for UpdateStream<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { name: r.str16(STREAM_NAME_BYTES_MAX, "name")?, settings: SettingsChange::read(r)? }))
    }
}

impl Encode for UpdateStreamAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        self.settings.encode(out);
        out.put_u64(self.catalogue_version);
    }
}

impl Decode<'_> for UpdateStreamAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { settings: StreamSettings::read(r)?, catalogue_version: r.u64("catalogue_version")? }))
    }
}
