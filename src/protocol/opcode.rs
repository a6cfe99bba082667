//! What a message asks for.

macro_rules! opcodes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal,)*) => {
        /// An operation. The numbers are stable; the gaps belong to what comes next (see PROTOCOL.md).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Opcode {
            $($(#[doc = $doc])* $name = $code,)*
        }

        impl Opcode {
            /// Every operation, by number.
            pub const ALL: &'static [Opcode] = &[$(Opcode::$name,)*];

            /// The operation with this number.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The operation's name, as in PROTOCOL.md.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The operation, in one sentence, as in PROTOCOL.md.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}

opcodes! {
    /// Opens a connection.
    Hello = 1,
    /// Asks for a sign of life.
    Ping = 2,
    /// Asks for counters.
    Stats = 3,
    /// Appends records to a shard.
    Put = 16,
    /// Appends records to a stream, each to the shard of its partition key.
    PutKeyed = 17,
    /// Reads frames of a shard.
    Get = 32,
    /// Turns a place in words (latest, at a time) into an offset.
    Position = 33,
    /// Asks for frames of a shard to be pushed as they are committed.
    Subscribe = 34,
    /// Allows a subscription more bytes. Not answered.
    Credit = 35,
    /// Ends a subscription.
    Unsubscribe = 36,
    /// Creates a stream.
    CreateStream = 48,
    /// Changes a stream's settings.
    UpdateStream = 49,
    /// Deletes a stream.
    DeleteStream = 50,
    /// Lists streams.
    ListStreams = 51,
    /// Describes a stream and its shards.
    DescribeStream = 52,
    /// Divides a shard's range among two new shards.
    SplitShard = 53,
    /// Makes one new shard of two neighbours.
    MergeShards = 54,
    /// Splits and merges until a stream has so many even shards, or says how it would.
    ScaleStream = 55,
    /// Gives a shard to another worker.
    MoveShard = 56,
    /// Asks for what is carried along with a stream or consumer: tags, encryption key, monitoring, policy.
    GetMetadata = 57,
    /// Changes what is carried along with a stream or consumer.
    SetMetadata = 58,
    /// Gives a stream a consumer with a pipe of its own.
    RegisterConsumer = 64,
    /// Takes a consumer from a stream.
    DeregisterConsumer = 65,
    /// Lists a stream's consumers.
    ListConsumers = 66,
    /// Describes a consumer.
    DescribeConsumer = 67,
    /// Stores a small value, if the one there is as expected.
    StorePut = 80,
    /// Reads a small value and its lease.
    StoreGet = 81,
    /// Lists small values and their leases.
    StoreList = 82,
    /// Deletes a small value, if it is as expected.
    StoreDelete = 83,
    /// Takes the lease of a small value.
    LeaseClaim = 84,
    /// Holds leases for another while.
    LeaseRenew = 85,
    /// Gives a lease back.
    LeaseRelease = 86,
}

impl Opcode {
    /// Whether a request of this kind carries records behind its args.
    #[must_use]
    pub const fn request_has_body(self) -> bool {
        matches!(self, Self::Put | Self::PutKeyed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: numbers and operations agree in both directions, and 0 stays free for errors of the connection itself.
    #[test]
    fn codes_round_trip() {
        for code in 0..=u8::MAX {
            match Opcode::from_code(code) {
                Some(opcode) => assert_eq!(opcode as u8, code),
                None => assert!(!Opcode::ALL.iter().any(|opcode| *opcode as u8 == code)),
            }
        }
        assert_eq!(Opcode::from_code(0), None);
    }
}
