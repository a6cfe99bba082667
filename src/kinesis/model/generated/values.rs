//! Shapes of single values, lists and maps.
//!
//! Written by `tools/kinesis-model/generate.py` from the service model `kinesis/2013-12-02/service-2.json`; not edited
//! by hand.

use super::structures;
use crate::kinesis::model::{
    Kind, Pattern, Shape, blob, enumeration, integer, list, long, map, string,
};

pub static BOOLEAN_OBJECT: Shape = Shape { name: "BooleanObject", kind: Kind::Boolean };
pub static CHANNEL_COUNT_OBJECT: Shape = integer("ChannelCountObject", Some(0), Some(1000000));
pub static CHILD_SHARD_LIST: Shape = list("ChildShardList", &structures::CHILD_SHARD, None, None);
pub static CONSUMER_ARN: Shape = string("ConsumerARN", Some(1), Some(2048), Some(Pattern::ConsumerArn));
pub static CONSUMER_COUNT_OBJECT: Shape = integer("ConsumerCountObject", Some(0), Some(1000000));
pub static CONSUMER_LIST: Shape = list("ConsumerList", &structures::CONSUMER, None, None);
pub static CONSUMER_NAME: Shape = string("ConsumerName", Some(1), Some(128), Some(Pattern::Name));
pub static CONSUMER_STATUS: Shape = enumeration("ConsumerStatus", &["CREATING", "DELETING", "ACTIVE"]);
pub static DATA: Shape = blob("Data", Some(0), Some(10485760));
pub static DESCRIBE_STREAM_INPUT_LIMIT: Shape = integer("DescribeStreamInputLimit", Some(1), Some(10000));
pub static ENCRYPTION_TYPE: Shape = enumeration("EncryptionType", &["NONE", "KMS"]);
pub static ENHANCED_MONITORING_LIST: Shape = list("EnhancedMonitoringList", &structures::ENHANCED_METRICS, None, None);
pub static ERROR_CODE: Shape = string("ErrorCode", None, None, None);
pub static ERROR_MESSAGE: Shape = string("ErrorMessage", None, None, None);
pub static GET_RECORDS_INPUT_LIMIT: Shape = integer("GetRecordsInputLimit", Some(1), Some(10000));
pub static HASH_KEY: Shape = string("HashKey", None, None, Some(Pattern::HashKey));
pub static KEY_ID: Shape = string("KeyId", Some(1), Some(2048), None);
pub static LIST_SHARDS_INPUT_LIMIT: Shape = integer("ListShardsInputLimit", Some(1), Some(10000));
pub static LIST_STREAM_CONSUMERS_INPUT_LIMIT: Shape = integer("ListStreamConsumersInputLimit", Some(1), Some(10000));
pub static LIST_STREAMS_INPUT_LIMIT: Shape = integer("ListStreamsInputLimit", Some(1), Some(10000));
pub static LIST_TAGS_FOR_STREAM_INPUT_LIMIT: Shape = integer("ListTagsForStreamInputLimit", Some(1), Some(50));
pub static MAX_RECORD_SIZE_IN_KI_B: Shape = integer("MaxRecordSizeInKiB", Some(1024), Some(10240));
pub static METRICS_NAME: Shape = enumeration("MetricsName", &["IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords", "WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds", "ALL"]);
pub static METRICS_NAME_LIST: Shape = list("MetricsNameList", &METRICS_NAME, Some(1), Some(7));
pub static MILLIS_BEHIND_LATEST: Shape = long("MillisBehindLatest", Some(0), None);
pub static MINIMUM_THROUGHPUT_BILLING_COMMITMENT_INPUT_STATUS: Shape = enumeration("MinimumThroughputBillingCommitmentInputStatus", &["ENABLED", "DISABLED"]);
pub static MINIMUM_THROUGHPUT_BILLING_COMMITMENT_OUTPUT_STATUS: Shape = enumeration("MinimumThroughputBillingCommitmentOutputStatus", &["ENABLED", "DISABLED", "ENABLED_UNTIL_EARLIEST_ALLOWED_END"]);
pub static NATURAL_INTEGER_OBJECT: Shape = integer("NaturalIntegerObject", Some(0), None);
pub static NEXT_TOKEN: Shape = string("NextToken", Some(1), Some(1048576), None);
pub static ON_DEMAND_STREAM_COUNT_LIMIT_OBJECT: Shape = integer("OnDemandStreamCountLimitObject", Some(0), Some(1000000));
pub static ON_DEMAND_STREAM_COUNT_OBJECT: Shape = integer("OnDemandStreamCountObject", Some(0), Some(1000000));
pub static PARTITION_KEY: Shape = string("PartitionKey", Some(1), Some(256), None);
pub static POLICY: Shape = string("Policy", None, None, None);
pub static POSITIVE_INTEGER_OBJECT: Shape = integer("PositiveIntegerObject", Some(1), None);
pub static PUT_RECORDS_REQUEST_ENTRY_LIST: Shape = list("PutRecordsRequestEntryList", &structures::PUT_RECORDS_REQUEST_ENTRY, Some(1), Some(500));
pub static PUT_RECORDS_RESULT_ENTRY_LIST: Shape = list("PutRecordsResultEntryList", &structures::PUT_RECORDS_RESULT_ENTRY, Some(1), Some(500));
pub static QUEUE_COUNT_OBJECT: Shape = integer("QueueCountObject", Some(0), Some(1000000));
pub static RECORD_DISTRIBUTION_STRATEGY: Shape = enumeration("RecordDistributionStrategy", &["AUTO", "USER_PARTITION_KEY"]);
pub static RECORD_LIST: Shape = list("RecordList", &structures::RECORD, None, None);
pub static RESOURCE_ARN: Shape = string("ResourceARN", Some(1), Some(2048), Some(Pattern::ResourceArn));
pub static RETENTION_PERIOD_HOURS: Shape = integer("RetentionPeriodHours", None, None);
pub static SCALING_TYPE: Shape = enumeration("ScalingType", &["UNIFORM_SCALING"]);
pub static SEQUENCE_NUMBER: Shape = string("SequenceNumber", None, None, Some(Pattern::SequenceNumber));
pub static SHARD_COUNT_OBJECT: Shape = integer("ShardCountObject", Some(0), Some(1000000));
pub static SHARD_FILTER_TYPE: Shape = enumeration("ShardFilterType", &["AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP"]);
pub static SHARD_ID: Shape = string("ShardId", Some(1), Some(128), Some(Pattern::Name));
pub static SHARD_ID_LIST: Shape = list("ShardIdList", &SHARD_ID, None, None);
pub static SHARD_ITERATOR: Shape = string("ShardIterator", Some(1), Some(512), None);
pub static SHARD_ITERATOR_TYPE: Shape = enumeration("ShardIteratorType", &["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"]);
pub static SHARD_LIST: Shape = list("ShardList", &structures::SHARD, None, None);
pub static STREAM_ARN: Shape = string("StreamARN", Some(1), Some(2048), Some(Pattern::StreamArn));
pub static STREAM_ID: Shape = string("StreamId", Some(1), Some(24), Some(Pattern::StreamId));
pub static STREAM_MODE: Shape = enumeration("StreamMode", &["PROVISIONED", "ON_DEMAND"]);
pub static STREAM_NAME: Shape = string("StreamName", Some(1), Some(128), Some(Pattern::Name));
pub static STREAM_NAME_LIST: Shape = list("StreamNameList", &STREAM_NAME, None, None);
pub static STREAM_STATUS: Shape = enumeration("StreamStatus", &["CREATING", "DELETING", "ACTIVE", "UPDATING"]);
pub static STREAM_SUMMARY_LIST: Shape = list("StreamSummaryList", &structures::STREAM_SUMMARY, None, None);
pub static TAG_KEY: Shape = string("TagKey", Some(1), Some(128), None);
pub static TAG_KEY_LIST: Shape = list("TagKeyList", &TAG_KEY, Some(1), Some(50));
pub static TAG_LIST: Shape = list("TagList", &structures::TAG, Some(0), Some(200));
pub static TAG_MAP: Shape = map("TagMap", &TAG_KEY, &TAG_VALUE, Some(1), Some(200));
pub static TAG_VALUE: Shape = string("TagValue", Some(0), Some(256), None);
pub static TIMESTAMP: Shape = Shape { name: "Timestamp", kind: Kind::Timestamp };

/// The regular expression of a pattern, as the service prints it.
pub const fn regex(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Name => "[a-zA-Z0-9_.-]+",
        Pattern::StreamArn => r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+",
        Pattern::ResourceArn => r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+",
        Pattern::ConsumerArn => r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+",
        Pattern::StreamId => "[a-z0-9]{20}-[a-z0-9]{3}",
        Pattern::HashKey => r"^(0|([1-9]\d{0,38}))$",
        Pattern::SequenceNumber => r"^(0|([1-9]\d{0,128}))$",
    }
}
