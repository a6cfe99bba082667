//! The names of streams and consumers that clients pass around: Amazon resource names.
//!
//! ```text
//! arn:aws:kinesis:us-east-1:000000000000:stream/orders
//! arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/billing:1700000000
//! ```
//!
//! Read liberally where it says nothing about us, any partition of AWS and any region; strictly everywhere else.

use std::fmt;

use crate::limits::{CONSUMER_NAME_BYTES_MAX, STREAM_NAME_BYTES_MAX};

/// Digits in the number of an account.
const ACCOUNT_DIGITS: usize = 12;

/// The ARN of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamArn<'a> {
    /// Which AWS: `aws`, `aws-cn` and so on.
    pub partition: &'a str,
    /// The region.
    pub region: &'a str,
    /// The account, 12 digits.
    pub account: &'a str,
    /// The stream's name.
    pub name: &'a str,
}

/// The ARN of a registered consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerArn<'a> {
    /// Its stream.
    pub stream: StreamArn<'a>,
    /// The consumer's name.
    pub name: &'a str,
    /// When it was registered, in seconds since the Unix epoch: a consumer registered anew under the name is another one.
    pub created_s: u64,
}

/// The ARN of anything that has tags or a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arn<'a> {
    /// A stream.
    Stream(StreamArn<'a>),
    /// A consumer.
    Consumer(ConsumerArn<'a>),
}

impl<'a> StreamArn<'a> {
    /// The ARN of our stream of this name, in the partition that the region belongs to.
    #[must_use]
    pub fn new(region: &'a str, account: &'a str, name: &'a str) -> Self {
        Self { partition: partition(region), region, account, name }
    }

    /// Reads the ARN of a stream; `None` for everything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        match Arn::parse(text)? {
            Arn::Stream(stream) => Some(stream),
            Arn::Consumer(_) => None,
        }
    }
}

impl<'a> ConsumerArn<'a> {
    /// Reads the ARN of a consumer; `None` for everything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        match Arn::parse(text)? {
            Arn::Consumer(consumer) => Some(consumer),
            Arn::Stream(_) => None,
        }
    }
}

impl<'a> Arn<'a> {
    /// Reads either ARN; `None` for everything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (partition, rest) = text.strip_prefix("arn:")?.split_once(':')?;
        let (region, rest) = rest.strip_prefix("kinesis:")?.split_once(':')?;
        let (account, resource) = rest.split_once(':')?;
        let is_account = account.len() == ACCOUNT_DIGITS && account.bytes().all(|byte| byte.is_ascii_digit());
        if !partition.starts_with("aws") || !is_label(partition) || !is_label(region) || !is_account {
            return None;
        }
        let mut parts = resource.strip_prefix("stream/")?.split('/');
        let name = parts.next().filter(|name| is_name(name, STREAM_NAME_BYTES_MAX))?;
        let stream = StreamArn { partition, region, account, name };
        let Some(kind) = parts.next() else { return Some(Self::Stream(stream)) };
        let consumer = parts.next()?;
        if kind != "consumer" || parts.next().is_some() {
            return None;
        }
        let (name, created) = consumer.split_once(':')?;
        // `parse` alone would take a plus sign.
        let is_number = !created.is_empty() && created.bytes().all(|byte| byte.is_ascii_digit());
        let created_s = created.parse().ok().filter(|_| is_number)?;
        is_name(name, CONSUMER_NAME_BYTES_MAX).then_some(Self::Consumer(ConsumerArn { stream, name, created_s }))
    }

    /// The stream that it is, or that it belongs to.
    #[must_use]
    pub const fn stream(&self) -> &StreamArn<'a> {
        match self {
            Self::Stream(stream) => stream,
            Self::Consumer(consumer) => &consumer.stream,
        }
    }
}

/// Lower-case letters, digits and dashes. May be empty: nothing depends on it.
fn is_label(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The characters of `StreamName` and `ConsumerName` in the model.
fn is_name(text: &str, bytes_max: usize) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(is_fine)
}

/// The partition that AWS has a region of this name in.
fn partition(region: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 5] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

impl fmt::Display for StreamArn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, account, name } = self;
        write!(f, "arn:{partition}:kinesis:{region}:{account}:stream/{name}")
    }
}

impl fmt::Display for ConsumerArn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, name, created_s } = self;
        write!(f, "{stream}/consumer/{name}:{created_s}")
    }
}

impl fmt::Display for Arn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(stream) => stream.fmt(f),
            Self::Consumer(consumer) => consumer.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Goal: our ARNs are what AWS would call the stream, in the partition of the region.
    #[test]
    fn ours_are_written_as_aws_writes_them() {
        let arn = StreamArn::new("us-east-1", "000000000000", "orders");
        assert_eq!(arn.to_string(), "arn:aws:kinesis:us-east-1:000000000000:stream/orders");
        let arn = StreamArn::new("cn-north-1", "123456789012", "orders");
        let consumer = ConsumerArn { stream: arn, name: "billing", created_s: 1_700_000_000 };
        let text = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders/consumer/billing:1700000000";
        assert_eq!(consumer.to_string(), text);
        assert_eq!(StreamArn::parse(text), None);
        assert_eq!(ConsumerArn::parse(text), Some(consumer));
        assert_eq!(Arn::parse(text).unwrap().stream().name, "orders");
    }

    /// Goal: regions and partitions of others pass; anything of another shape does not.
    #[test]
    fn shapes_are_strict() {
        let good = ["arn:aws:kinesis:mars-1:000000000000:stream/a", "arn:aws-x:kinesis::123456789012:stream/A_b.c-9"];
        for text in good {
            assert_eq!(Arn::parse(text).unwrap().to_string(), text);
        }
        let long = "x".repeat(STREAM_NAME_BYTES_MAX + 1);
        let long = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{long}");
        let bad = [
            "",
            "orders",
            "arn:aws:kinesis:us-east-1:000000000000:stream/",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a b",
            "arn:aws:kinesis:us-east-1:000000000000:stream/é",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b:",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b:+1",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b:1x",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b:99999999999999999999",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b:1/c",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/queue/b:1",
            "arn:aws:kinesis:us-east-1:000000000000:channel/a",
            "arn:aws:kinesis:us-east-1:00000000000:stream/a",
            "arn:aws:kinesis:us-east-1:00000000000x:stream/a",
            "arn:aws:kinesis:us east:000000000000:stream/a",
            "arn:aws:firehose:us-east-1:000000000000:stream/a",
            "arn:gcp:kinesis:us-east-1:000000000000:stream/a",
            " arn:aws:kinesis:us-east-1:000000000000:stream/a",
            &long,
        ];
        for text in bad {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    proptest! {
        /// Goal: what is written is read back, for streams and for consumers.
        #[test]
        fn arns_round_trip(
            partition in "aws(-[a-z]{2,5})?",
            region in "[a-z]{2}-[a-z]{4,9}-[1-9]",
            account in "[0-9]{12}",
            name in "[a-zA-Z0-9_.-]{1,128}",
            consumer in "[a-zA-Z0-9_.-]{1,128}",
            created_s: u64,
        ) {
            let stream = StreamArn { partition: &partition, region: &region, account: &account, name: &name };
            let text = stream.to_string();
            prop_assert_eq!(StreamArn::parse(&text), Some(stream));
            let consumer = ConsumerArn { stream, name: &consumer, created_s };
            let text = consumer.to_string();
            prop_assert_eq!(ConsumerArn::parse(&text), Some(consumer));
        }

        /// Goal: no text panics, and what is read is written as it was, save the zeros before a number.
        #[test]
        fn any_text_is_read_or_refused(text in "arn:aws:kinesis:[a-z0-9:/.-]{0,20}:000000000000:stream/[a-z0-9:/.]{0,12}") {
            if let Some(arn) = Arn::parse(&text) {
                let again = arn.to_string();
                prop_assert_eq!(Arn::parse(&again), Some(arn));
            }
        }
    }
}
