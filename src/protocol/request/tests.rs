use proptest::prelude::*;

use super::super::messages::{
    CapacityMode, CustomLimits, Distribution, Expect, HashKeys, MetadataChange, Renewal, SettingsChange, ShardFilter,
    Start, StreamLimits, Tag,
};
use super::*;
use crate::types::{GroupId, HashKey, Offset, ShardNumber, WorkerId};

/// One request of each kind, in the order of their numbers, with optional parts present. `scratch` holds the hash key.
fn each(scratch: &mut Vec<u8>) -> Vec<Request<'_>> {
    let hash_keys = HashKeys::collect([Some(HashKey(5))], scratch);
    let (group, name) = (GroupId(9), "orders");
    let settings = SettingsChange {
        retention_hours: Some(48),
        limits: Some(StreamLimits::Custom(CustomLimits { read_calls_s: 5, ..CustomLimits::default() })),
        mode: Some(CapacityMode::OnDemand { shards_min: 2, shards_max: 8 }),
        distribution: Some(Distribution::Auto),
        ..SettingsChange::NONE
    };
    let (shard, tags) = (ShardNumber(1), vec![Tag { key: "k", value: "v" }]);
    let (space, key) = ("app", "shard-1");
    vec![
        Request::Hello(Hello { version_min: 1, version_max: 1, features: 0, client: "c", token: b"t" }),
        Request::Ping(Ping),
        Request::Stats(Stats::Stream(name)),
        Request::Put(Put { group, producer: None, record_count: 1 }),
        Request::PutKeyed(PutKeyed { stream: name, record_count: 1, hash_keys }),
        Request::Get(Get { group, from: Offset(1), bytes_max: 2, wait_ms: 3 }),
        Request::Position(Position { group, start: Start::After(Offset(4)) }),
        Request::Subscribe(Subscribe { group, start: Start::Latest, consumer: 3, credit: 5 }),
        Request::Credit(Credit { subscription: 1, bytes: 5 }),
        Request::Unsubscribe(Unsubscribe { subscription: 1 }),
        Request::CreateStream(CreateStream { name, shards: 4, settings }),
        Request::UpdateStream(UpdateStream { name, settings }),
        Request::DeleteStream(DeleteStream { name, enforce_consumer_deletion: true }),
        Request::ListStreams(ListStreams { after: name, limit: 5 }),
        Request::DescribeStream(DescribeStream { name, from_shard: shard, limit: 5, filter: ShardFilter::All }),
        Request::SplitShard(SplitShard { stream: name, shard, at: HashKey(5) }),
        Request::MergeShards(MergeShards { stream: name, shard, adjacent: ShardNumber(2) }),
        Request::ScaleStream(ScaleStream { stream: name, target: 4, plan_only: true }),
        Request::MoveShard(MoveShard { stream: name, shard, to: WorkerId(1) }),
        Request::GetMetadata(GetMetadata { stream: name, consumer: "c" }),
        Request::SetMetadata(SetMetadata {
            stream: name,
            consumer: "",
            change: MetadataChange::Tags { set: tags.clone(), remove: vec!["r"] },
        }),
        Request::RegisterConsumer(RegisterConsumer { stream: name, name: "c", tags }),
        Request::DeregisterConsumer(DeregisterConsumer { stream: name, name: "c" }),
        Request::ListConsumers(ListConsumers { stream: name, after: "c", limit: 5 }),
        Request::DescribeConsumer(DescribeConsumer { stream: name, name: "c" }),
        Request::StorePut(StorePut { space, key, value: b"v", expect: Expect::Version(2), token: Some(3) }),
        Request::StoreGet(StoreGet { space, key }),
        Request::StoreList(StoreList { space, prefix: "shard-", after: key, limit: 5 }),
        Request::StoreDelete(StoreDelete { space, key, expect: Expect::Absent, token: None }),
        Request::LeaseClaim(LeaseClaim { space, key, owner: "m", ttl_ms: 10_000, take_from: Some(3) }),
        Request::LeaseRenew(LeaseRenew { space, renewals: vec![Renewal { key, token: 3 }] }),
        Request::LeaseRelease(LeaseRelease { space, key, token: 3 }),
    ]
}

/// Goal: each operation is decoded as itself.
#[test]
fn every_operation_decodes() {
    let mut scratch = Vec::new();
    let requests = each(&mut scratch);
    let opcodes: Vec<_> = requests.iter().map(Request::opcode).collect();
    assert_eq!(opcodes, Opcode::ALL);
    for request in &requests {
        let mut args = Vec::new();
        request.encode(&mut args);
        assert_eq!(Request::decode_args(request.opcode(), &args).as_ref(), Ok(request));
    }
}

/// Goal: the requests of the hot paths own nothing, so that decoding them cannot allocate.
#[test]
fn hot_requests_are_plain_values() {
    const fn plain<T: Copy>() {}
    const { plain::<Put>() };
    const { plain::<PutKeyed<'static>>() };
    const { plain::<Get>() };
    const { plain::<Credit>() };
}

proptest! {
    /// Goal: damaged args never panic; what is still accepted has exactly one encoding, the bytes it came from.
    #[test]
    fn encodings_are_unique(
        which in 0..Opcode::ALL.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut scratch = Vec::new();
        let request = &each(&mut scratch)[which];
        let mut args = Vec::new();
        request.encode(&mut args);
        if !args.is_empty() {
            for (at, byte) in damage {
                let at = at.index(args.len());
                args[at] = byte;
            }
            if let Some(cut) = cut {
                args.truncate(cut.index(args.len()));
            }
        }
        if let Ok(read) = Request::decode_args(request.opcode(), &args) {
            let mut again = Vec::new();
            read.encode(&mut again);
            prop_assert_eq!(again, args);
        }
    }
}
