//! The patterns of the model, each matched by hand: they are few, and a general engine could be made to run long.
//!
//! A pattern must match the whole text, as the service has it. `.` matches all but line terminators, `\S` all but the six
//! ASCII blanks, `\d` the ASCII digits. Every matcher takes time linear in the text.

use super::generated::values;

/// A regular expression of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Names of streams, shards and consumers: letters, digits, `_`, `.`, `-`.
    Name,
    /// The ARN of a stream.
    StreamArn,
    /// The ARN of a stream, a channel, a queue, or of what belongs to one.
    ResourceArn,
    /// The ARN of a consumer of a stream.
    ConsumerArn,
    /// The id of a stream.
    StreamId,
    /// A hash key: a decimal of up to 39 digits.
    HashKey,
    /// A sequence number: a decimal of up to 129 digits.
    SequenceNumber,
}

impl Pattern {
    /// The regular expression, as the service prints it.
    #[must_use]
    pub const fn regex(self) -> &'static str {
        values::regex(self)
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(self, text: &str) -> bool {
        match self {
            Self::Name => is_name(text),
            Self::StreamArn => is_stream_arn(text),
            Self::ResourceArn => is_resource_arn(text),
            Self::ConsumerArn => is_consumer_arn(text),
            Self::StreamId => is_stream_id(text),
            Self::HashKey => is_decimal(text, 39),
            Self::SequenceNumber => is_decimal(text, 129),
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// `[a-zA-Z0-9_.-]+`
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_byte)
}

/// `0|([1-9]\d{0,digits_max - 1})`
fn is_decimal(text: &str, digits_max: usize) -> bool {
    let digits = text.len();
    let has_leading_zero = digits > 1 && text.starts_with('0');
    digits >= 1 && digits <= digits_max && !has_leading_zero && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `[a-z0-9]{20}-[a-z0-9]{3}`
fn is_stream_id(text: &str) -> bool {
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(long, short)| long.len() == 20 && short.len() == 3 && is_part(long) && is_part(short))
}

/// `arn:aws.*:kinesis:.*:\d{12}:stream/\S+`
fn is_stream_arn(text: &str) -> bool {
    // The greatest position at which `\S+` may begin is after the last blank; the account may stand at several places.
    let tail_from = end_of_last_blank(text);
    accounts(text).any(|end| {
        let name = text[end..].strip_prefix("stream/");
        name.is_some_and(|name| !name.is_empty() && text.len() - name.len() >= tail_from)
    })
}

/// `arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+`
fn is_resource_arn(text: &str) -> bool {
    let tail_from = end_of_last_blank(text);
    let Some(head) = accounts(text).next() else { return false };
    let lines_end = first_terminator(text);
    text[head..].match_indices('/').any(|(slash, _)| {
        let (before, name_from) = (&text[head..head + slash], head + slash + 1);
        let names_a_kind = ["stream", "channel", "queue"].iter().any(|kind| before.ends_with(kind));
        names_a_kind && head + slash <= lines_end && name_from < text.len() && name_from >= tail_from
    })
}

/// `arn:aws.*:kinesis:.*:\d{12}:.*stream/[a-zA-Z0-9_.-]+/consumer/[a-zA-Z0-9_.-]+:[0-9]+`
fn is_consumer_arn(text: &str) -> bool {
    // None of the last parts can contain what separates it from the one before, so they are taken off from behind.
    let Some((rest, created)) = text.rsplit_once(':') else { return false };
    let Some((rest, consumer)) = rest.rsplit_once("/consumer/") else { return false };
    let Some((rest, stream)) = rest.rsplit_once('/') else { return false };
    let Some(head) = rest.strip_suffix("stream") else { return false };
    let is_number = !created.is_empty() && created.bytes().all(|byte| byte.is_ascii_digit());
    let has_account = accounts(head).next().is_some() && first_terminator(head) == head.len();
    is_number && is_name(consumer) && is_name(stream) && has_account
}

/// Where `arn:aws.*:kinesis:.*:\d{12}:` can end in `text`, from left to right.
fn accounts(text: &str) -> impl Iterator<Item = usize> {
    const SERVICE: &str = ":kinesis:";
    const ACCOUNT_DIGITS: usize = 12;
    let service = text.strip_prefix("arn:aws").and_then(|rest| rest.find(SERVICE));
    // The leftmost service leaves the most room for what follows. The colon before the account may be its last one only
    // if something stands between: `:kinesis:` and `:\d{12}:` share none.
    let from = service.map_or(text.len(), |at| "arn:aws".len() + at + SERVICE.len());
    let lines_end = first_terminator(text);
    text[from..].match_indices(':').map(move |(at, _)| from + at).filter_map(move |colon| {
        let account = text.as_bytes().get(colon + 1..colon + 1 + ACCOUNT_DIGITS)?;
        let end = colon + 1 + ACCOUNT_DIGITS;
        let is_account = account.iter().all(u8::is_ascii_digit) && text.as_bytes().get(end) == Some(&b':');
        (is_account && colon <= lines_end).then_some(end + 1)
    })
}

/// Where the first line terminator begins, which `.` does not match; the length if there is none.
fn first_terminator(text: &str) -> usize {
    text.find(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).unwrap_or(text.len())
}

/// The end of the last blank, which `\S` does not match; 0 if there is none.
fn end_of_last_blank(text: &str) -> usize {
    text.rfind([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']).map_or(0, |at| at + 1)
}
