//! Who may do what.

use std::sync::Arc;

use millstream::kinesis::Encoding;
use millstream::kinesis::access::{Key, Keys, Rule, Secret};
use serde_json::json;

use super::api::{ACCOUNT, Api, arn, text, world_with};
use super::errors;
use crate::world::World;

const ADMIN: (&str, &str) = ("AKADMIN", "secret of the administrator");
const READER: (&str, &str) = ("AKREADER", "secret of the reader");

fn guarded() -> World {
    let key = |(id, secret): (&str, &str), name: &str, allow| Key {
        name: name.to_owned(),
        access_key_id: id.to_owned(),
        secret: Secret::new(secret),
        allow,
    };
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let rules = vec![
        Rule { actions: texts(&["Get*", "ListShards"]), streams: texts(&["open-*"]) },
        Rule { actions: texts(&["GetShardIterator", "ListShards"]), streams: texts(&["s"]) },
    ];
    let keys = Keys::new(vec![key(ADMIN, "admin", None), key(READER, "reader", Some(rules))]).unwrap();
    world_with(|options| options.kinesis.as_mut().unwrap().keys = Some(Arc::new(keys)))
}

/// Goal: with keys, nobody gets in without one; who has one may do what its rules say, on the streams they name, and every
/// operation asks. The ARNs of an answer carry the region that the request was signed for.
#[test]
fn rules_are_kept() {
    let world = guarded();
    world.sim.block_on(async {
        for encoding in Encoding::ALL {
            let mut nobody = Api::open(&world, encoding).await;
            assert_eq!(nobody.code("ListStreams", json!({})).await, "MissingAuthenticationTokenException");
            nobody.key = Some(("AKNOBODY", "x"));
            assert_eq!(nobody.code("ListStreams", json!({})).await, "UnrecognizedClientException");
            nobody.key = Some((ADMIN.0, "not the secret"));
            assert_eq!(nobody.code("ListStreams", json!({})).await, "InvalidSignatureException");
            let mut admin = Api::open(&world, encoding).await;
            admin.key = Some(ADMIN);
            admin.create("s", 1).await;
            admin.create("open-1", 1).await;
            let described = admin.ok("DescribeStream", json!({"StreamName": "s"})).await;
            let arn_there = format!("arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/s");
            assert_eq!(described["StreamDescription"]["StreamARN"], arn_there);

            let mut reader = Api::open(&world, encoding).await;
            reader.key = Some(READER);
            for (operation, mut input, _) in errors::table() {
                if input.is_null() {
                    input = match operation {
                        "CreateStream" => json!({"StreamName": "t", "ShardCount": 1}),
                        "ListStreams" => json!({}),
                        "UpdateAccountSettings" => json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}}),
                        // It has to be one of ours before there is a stream.
                        _ => continue,
                    };
                }
                let (code, message) = reader.fails(operation, input).await;
                assert_eq!(code, "AccessDeniedException", "{operation}: {message}");
                assert!(message.contains(&format!("kinesis:{operation}")), "{message}");
                assert!(message.starts_with(&format!("User: arn:aws:iam::{ACCOUNT}:user/reader ")), "{message}");
            }
            for operation in ["DescribeLimits", "DescribeAccountSettings"] {
                assert_eq!(reader.code(operation, json!({})).await, "AccessDeniedException");
            }
            let iterator = reader.iterator("open-1", "0", "TRIM_HORIZON").await;
            reader.ok("GetRecords", json!({"ShardIterator": iterator})).await;
            let iterator = reader.iterator("s", "0", "TRIM_HORIZON").await;
            assert_eq!(reader.code("GetRecords", json!({"ShardIterator": iterator})).await, "AccessDeniedException");
            admin.ok("SplitShard", json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "99"})).await;
            let page = admin.ok("ListShards", json!({"StreamName": "s", "MaxResults": 1})).await;
            reader.ok("ListShards", json!({"NextToken": text(&page["NextToken"])})).await;
            assert_eq!(reader.code("ListShards", json!({"StreamARN": arn("t")})).await, "AccessDeniedException");
            for name in ["s", "open-1"] {
                admin.ok("DeleteStream", json!({"StreamName": name})).await;
            }
        }
    });
}
