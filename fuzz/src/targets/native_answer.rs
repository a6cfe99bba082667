//! Answers of the native protocol, as a client reads them: args that are accepted are written as the same bytes again.

use millstream::protocol::messages::{
    ConsumerDescription, DeleteStreamAnswer, DeregisterConsumerAnswer, DescribeStreamAnswer, GetMetadataAnswer,
    HelloAnswer, LeaseClaimAnswer, LeaseReleaseAnswer, LeaseRenewAnswer, ListConsumersAnswer, ListStreamsAnswer,
    MoveShardAnswer, PingAnswer, PositionAnswer, PutAnswer, PutKeyedAnswer, ReadState, ReshardAnswer,
    ScaleStreamAnswer, SetMetadataAnswer, StatsAnswer, StoreDeleteAnswer, StoreGetAnswer, StoreListAnswer,
    StorePutAnswer, SubscribeAnswer, SubscriptionEnd, UnsubscribeAnswer, UpdateStreamAnswer,
};
use millstream::protocol::{Decode, Encode, ErrorAnswer};

fn comes_back<'a, T: Decode<'a> + Encode>(args: &'a [u8]) {
    if let Ok(value) = T::decode(args) {
        let mut again = Vec::new();
        value.encode(&mut again);
        assert_eq!(again, args, "{}", std::any::type_name::<T>());
        assert_eq!(value.encoded_bytes(), again.len());
    }
}

macro_rules! all {
    ($($name:ty),* $(,)?) => { &[$(|args| comes_back::<$name>(args)),*] };
}

const ALL: &[fn(&[u8])] = all![
    ConsumerDescription<'_>,
    DeleteStreamAnswer,
    DeregisterConsumerAnswer,
    DescribeStreamAnswer<'_>,
    GetMetadataAnswer<'_>,
    HelloAnswer,
    LeaseClaimAnswer<'_>,
    LeaseReleaseAnswer,
    LeaseRenewAnswer,
    ListConsumersAnswer<'_>,
    ListStreamsAnswer<'_>,
    MoveShardAnswer,
    PingAnswer,
    PositionAnswer,
    PutAnswer,
    PutKeyedAnswer,
    ReadState,
    ReshardAnswer,
    ScaleStreamAnswer,
    SetMetadataAnswer,
    StatsAnswer<'_>,
    StoreDeleteAnswer,
    StoreGetAnswer<'_>,
    StoreListAnswer<'_>,
    StorePutAnswer,
    SubscribeAnswer,
    SubscriptionEnd,
    UnsubscribeAnswer,
    UpdateStreamAnswer,
    ErrorAnswer<'_>,
];

/// Runs one input.
pub fn run(data: &[u8]) {
    if let [which, args @ ..] = data {
        ALL[usize::from(*which) % ALL.len()](args);
    }
}
