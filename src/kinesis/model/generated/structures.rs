//! Structures, their members in the order in which the service checks them.
//!
//! Written by `tools/kinesis-model/generate.py` from the service model `kinesis/2013-12-02/service-2.json`; not edited
//! by hand.

use super::values;
use crate::kinesis::model::{Shape, optional, required, structure};

pub static ADD_TAGS_TO_STREAM_INPUT: Shape = structure("AddTagsToStreamInput", &[
    required("Tags", &values::TAG_MAP),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static CHILD_SHARD: Shape = structure("ChildShard", &[
    required("ShardId", &values::SHARD_ID),
    required("ParentShards", &values::SHARD_ID_LIST),
    required("HashKeyRange", &HASH_KEY_RANGE),
]);
pub static CONSUMER: Shape = structure("Consumer", &[
    required("ConsumerName", &values::CONSUMER_NAME),
    required("ConsumerARN", &values::CONSUMER_ARN),
    required("ConsumerStatus", &values::CONSUMER_STATUS),
    required("ConsumerCreationTimestamp", &values::TIMESTAMP),
]);
pub static CONSUMER_DESCRIPTION: Shape = structure("ConsumerDescription", &[
    required("ConsumerName", &values::CONSUMER_NAME),
    required("ConsumerARN", &values::CONSUMER_ARN),
    required("ConsumerStatus", &values::CONSUMER_STATUS),
    required("ConsumerCreationTimestamp", &values::TIMESTAMP),
    required("StreamARN", &values::STREAM_ARN),
]);
pub static CREATE_STREAM_INPUT: Shape = structure("CreateStreamInput", &[
    optional("ShardCount", &values::POSITIVE_INTEGER_OBJECT),
    optional("StreamModeDetails", &STREAM_MODE_DETAILS),
    optional("Tags", &values::TAG_MAP),
    optional("WarmThroughputMiBps", &values::NATURAL_INTEGER_OBJECT),
    optional("MaxRecordSizeInKiB", &values::MAX_RECORD_SIZE_IN_KI_B),
    optional("RecordDistributionStrategy", &values::RECORD_DISTRIBUTION_STRATEGY),
    required("StreamName", &values::STREAM_NAME),
]);
pub static DECREASE_STREAM_RETENTION_PERIOD_INPUT: Shape = structure("DecreaseStreamRetentionPeriodInput", &[
    required("RetentionPeriodHours", &values::RETENTION_PERIOD_HOURS),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static DELETE_RESOURCE_POLICY_INPUT: Shape = structure("DeleteResourcePolicyInput", &[
    required("ResourceARN", &values::RESOURCE_ARN),
    optional("StreamId", &values::STREAM_ID),
]);
pub static DELETE_STREAM_INPUT: Shape = structure("DeleteStreamInput", &[
    optional("EnforceConsumerDeletion", &values::BOOLEAN_OBJECT),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static DEREGISTER_STREAM_CONSUMER_INPUT: Shape = structure("DeregisterStreamConsumerInput", &[
    optional("StreamARN", &values::STREAM_ARN),
    optional("ConsumerName", &values::CONSUMER_NAME),
    optional("ConsumerARN", &values::CONSUMER_ARN),
    optional("StreamId", &values::STREAM_ID),
]);
pub static DESCRIBE_ACCOUNT_SETTINGS_INPUT: Shape = structure("DescribeAccountSettingsInput", &[]);
pub static DESCRIBE_ACCOUNT_SETTINGS_OUTPUT: Shape = structure("DescribeAccountSettingsOutput", &[
    optional("MinimumThroughputBillingCommitment", &MINIMUM_THROUGHPUT_BILLING_COMMITMENT_OUTPUT),
]);
pub static DESCRIBE_LIMITS_INPUT: Shape = structure("DescribeLimitsInput", &[]);
pub static DESCRIBE_LIMITS_OUTPUT: Shape = structure("DescribeLimitsOutput", &[
    required("ShardLimit", &values::SHARD_COUNT_OBJECT),
    required("OpenShardCount", &values::SHARD_COUNT_OBJECT),
    required("OnDemandStreamCount", &values::ON_DEMAND_STREAM_COUNT_OBJECT),
    required("OnDemandStreamCountLimit", &values::ON_DEMAND_STREAM_COUNT_LIMIT_OBJECT),
    optional("ChannelCount", &values::CHANNEL_COUNT_OBJECT),
    optional("ChannelCountLimit", &values::CHANNEL_COUNT_OBJECT),
]);
pub static DESCRIBE_STREAM_CONSUMER_INPUT: Shape = structure("DescribeStreamConsumerInput", &[
    optional("StreamARN", &values::STREAM_ARN),
    optional("ConsumerName", &values::CONSUMER_NAME),
    optional("ConsumerARN", &values::CONSUMER_ARN),
    optional("StreamId", &values::STREAM_ID),
]);
pub static DESCRIBE_STREAM_CONSUMER_OUTPUT: Shape = structure("DescribeStreamConsumerOutput", &[
    required("ConsumerDescription", &CONSUMER_DESCRIPTION),
]);
pub static DESCRIBE_STREAM_INPUT: Shape = structure("DescribeStreamInput", &[
    optional("Limit", &values::DESCRIBE_STREAM_INPUT_LIMIT),
    optional("ExclusiveStartShardId", &values::SHARD_ID),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static DESCRIBE_STREAM_OUTPUT: Shape = structure("DescribeStreamOutput", &[
    required("StreamDescription", &STREAM_DESCRIPTION),
]);
pub static DESCRIBE_STREAM_SUMMARY_INPUT: Shape = structure("DescribeStreamSummaryInput", &[
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static DESCRIBE_STREAM_SUMMARY_OUTPUT: Shape = structure("DescribeStreamSummaryOutput", &[
    required("StreamDescriptionSummary", &STREAM_DESCRIPTION_SUMMARY),
]);
pub static DISABLE_ENHANCED_MONITORING_INPUT: Shape = structure("DisableEnhancedMonitoringInput", &[
    required("ShardLevelMetrics", &values::METRICS_NAME_LIST),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static ENABLE_ENHANCED_MONITORING_INPUT: Shape = structure("EnableEnhancedMonitoringInput", &[
    required("ShardLevelMetrics", &values::METRICS_NAME_LIST),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static ENHANCED_METRICS: Shape = structure("EnhancedMetrics", &[
    optional("ShardLevelMetrics", &values::METRICS_NAME_LIST),
]);
pub static ENHANCED_MONITORING_OUTPUT: Shape = structure("EnhancedMonitoringOutput", &[
    optional("CurrentShardLevelMetrics", &values::METRICS_NAME_LIST),
    optional("DesiredShardLevelMetrics", &values::METRICS_NAME_LIST),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static GET_RECORDS_INPUT: Shape = structure("GetRecordsInput", &[
    optional("Limit", &values::GET_RECORDS_INPUT_LIMIT),
    required("ShardIterator", &values::SHARD_ITERATOR),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("DryRun", &values::BOOLEAN_OBJECT),
]);
pub static GET_RECORDS_OUTPUT: Shape = structure("GetRecordsOutput", &[
    required("Records", &values::RECORD_LIST),
    optional("NextShardIterator", &values::SHARD_ITERATOR),
    optional("MillisBehindLatest", &values::MILLIS_BEHIND_LATEST),
    optional("ChildShards", &values::CHILD_SHARD_LIST),
]);
pub static GET_RESOURCE_POLICY_INPUT: Shape = structure("GetResourcePolicyInput", &[
    required("ResourceARN", &values::RESOURCE_ARN),
    optional("StreamId", &values::STREAM_ID),
]);
pub static GET_RESOURCE_POLICY_OUTPUT: Shape = structure("GetResourcePolicyOutput", &[
    required("Policy", &values::POLICY),
]);
pub static GET_SHARD_ITERATOR_INPUT: Shape = structure("GetShardIteratorInput", &[
    required("ShardId", &values::SHARD_ID),
    required("ShardIteratorType", &values::SHARD_ITERATOR_TYPE),
    optional("StartingSequenceNumber", &values::SEQUENCE_NUMBER),
    optional("Timestamp", &values::TIMESTAMP),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("DryRun", &values::BOOLEAN_OBJECT),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static GET_SHARD_ITERATOR_OUTPUT: Shape = structure("GetShardIteratorOutput", &[
    optional("ShardIterator", &values::SHARD_ITERATOR),
]);
pub static HASH_KEY_RANGE: Shape = structure("HashKeyRange", &[
    required("StartingHashKey", &values::HASH_KEY),
    required("EndingHashKey", &values::HASH_KEY),
]);
pub static INCREASE_STREAM_RETENTION_PERIOD_INPUT: Shape = structure("IncreaseStreamRetentionPeriodInput", &[
    required("RetentionPeriodHours", &values::RETENTION_PERIOD_HOURS),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static INTERNAL_FAILURE_EXCEPTION: Shape = structure("InternalFailureException", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static KMS_ACCESS_DENIED_EXCEPTION: Shape = structure("KMSAccessDeniedException", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static KMS_DISABLED_EXCEPTION: Shape = structure("KMSDisabledException", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static KMS_INVALID_STATE_EXCEPTION: Shape = structure("KMSInvalidStateException", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static KMS_NOT_FOUND_EXCEPTION: Shape = structure("KMSNotFoundException", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static KMS_OPT_IN_REQUIRED: Shape = structure("KMSOptInRequired", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static KMS_THROTTLING_EXCEPTION: Shape = structure("KMSThrottlingException", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static LIST_SHARDS_INPUT: Shape = structure("ListShardsInput", &[
    optional("NextToken", &values::NEXT_TOKEN),
    optional("ExclusiveStartShardId", &values::SHARD_ID),
    optional("MaxResults", &values::LIST_SHARDS_INPUT_LIMIT),
    optional("StreamCreationTimestamp", &values::TIMESTAMP),
    optional("ShardFilter", &SHARD_FILTER),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static LIST_SHARDS_OUTPUT: Shape = structure("ListShardsOutput", &[
    optional("Shards", &values::SHARD_LIST),
    optional("NextToken", &values::NEXT_TOKEN),
]);
pub static LIST_STREAM_CONSUMERS_INPUT: Shape = structure("ListStreamConsumersInput", &[
    required("StreamARN", &values::STREAM_ARN),
    optional("NextToken", &values::NEXT_TOKEN),
    optional("MaxResults", &values::LIST_STREAM_CONSUMERS_INPUT_LIMIT),
    optional("StreamCreationTimestamp", &values::TIMESTAMP),
    optional("StreamId", &values::STREAM_ID),
]);
pub static LIST_STREAM_CONSUMERS_OUTPUT: Shape = structure("ListStreamConsumersOutput", &[
    optional("Consumers", &values::CONSUMER_LIST),
    optional("NextToken", &values::NEXT_TOKEN),
]);
pub static LIST_STREAMS_INPUT: Shape = structure("ListStreamsInput", &[
    optional("Limit", &values::LIST_STREAMS_INPUT_LIMIT),
    optional("ExclusiveStartStreamName", &values::STREAM_NAME),
    optional("NextToken", &values::NEXT_TOKEN),
]);
pub static LIST_STREAMS_OUTPUT: Shape = structure("ListStreamsOutput", &[
    required("StreamNames", &values::STREAM_NAME_LIST),
    required("HasMoreStreams", &values::BOOLEAN_OBJECT),
    optional("NextToken", &values::NEXT_TOKEN),
    optional("StreamSummaries", &values::STREAM_SUMMARY_LIST),
]);
pub static LIST_TAGS_FOR_RESOURCE_INPUT: Shape = structure("ListTagsForResourceInput", &[
    required("ResourceARN", &values::RESOURCE_ARN),
    optional("StreamId", &values::STREAM_ID),
]);
pub static LIST_TAGS_FOR_RESOURCE_OUTPUT: Shape = structure("ListTagsForResourceOutput", &[
    optional("Tags", &values::TAG_LIST),
]);
pub static LIST_TAGS_FOR_STREAM_INPUT: Shape = structure("ListTagsForStreamInput", &[
    optional("Limit", &values::LIST_TAGS_FOR_STREAM_INPUT_LIMIT),
    optional("ExclusiveStartTagKey", &values::TAG_KEY),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static LIST_TAGS_FOR_STREAM_OUTPUT: Shape = structure("ListTagsForStreamOutput", &[
    required("Tags", &values::TAG_LIST),
    required("HasMoreTags", &values::BOOLEAN_OBJECT),
]);
pub static MERGE_SHARDS_INPUT: Shape = structure("MergeShardsInput", &[
    required("ShardToMerge", &values::SHARD_ID),
    required("AdjacentShardToMerge", &values::SHARD_ID),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static MINIMUM_THROUGHPUT_BILLING_COMMITMENT_INPUT: Shape = structure("MinimumThroughputBillingCommitmentInput", &[
    required("Status", &values::MINIMUM_THROUGHPUT_BILLING_COMMITMENT_INPUT_STATUS),
]);
pub static MINIMUM_THROUGHPUT_BILLING_COMMITMENT_OUTPUT: Shape = structure("MinimumThroughputBillingCommitmentOutput", &[
    required("Status", &values::MINIMUM_THROUGHPUT_BILLING_COMMITMENT_OUTPUT_STATUS),
    optional("StartedAt", &values::TIMESTAMP),
    optional("EndedAt", &values::TIMESTAMP),
    optional("EarliestAllowedEndAt", &values::TIMESTAMP),
]);
pub static PUT_RECORD_INPUT: Shape = structure("PutRecordInput", &[
    optional("SequenceNumberForOrdering", &values::SEQUENCE_NUMBER),
    optional("PartitionKey", &values::PARTITION_KEY),
    optional("ExplicitHashKey", &values::HASH_KEY),
    required("Data", &values::DATA),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("DryRun", &values::BOOLEAN_OBJECT),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static PUT_RECORD_OUTPUT: Shape = structure("PutRecordOutput", &[
    required("ShardId", &values::SHARD_ID),
    required("SequenceNumber", &values::SEQUENCE_NUMBER),
    optional("EncryptionType", &values::ENCRYPTION_TYPE),
]);
pub static PUT_RECORDS_INPUT: Shape = structure("PutRecordsInput", &[
    required("Records", &values::PUT_RECORDS_REQUEST_ENTRY_LIST),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("DryRun", &values::BOOLEAN_OBJECT),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static PUT_RECORDS_OUTPUT: Shape = structure("PutRecordsOutput", &[
    optional("FailedRecordCount", &values::POSITIVE_INTEGER_OBJECT),
    required("Records", &values::PUT_RECORDS_RESULT_ENTRY_LIST),
    optional("EncryptionType", &values::ENCRYPTION_TYPE),
]);
pub static PUT_RECORDS_REQUEST_ENTRY: Shape = structure("PutRecordsRequestEntry", &[
    optional("PartitionKey", &values::PARTITION_KEY),
    optional("ExplicitHashKey", &values::HASH_KEY),
    required("Data", &values::DATA),
]);
pub static PUT_RECORDS_RESULT_ENTRY: Shape = structure("PutRecordsResultEntry", &[
    optional("SequenceNumber", &values::SEQUENCE_NUMBER),
    optional("ShardId", &values::SHARD_ID),
    optional("ErrorCode", &values::ERROR_CODE),
    optional("ErrorMessage", &values::ERROR_MESSAGE),
]);
pub static PUT_RESOURCE_POLICY_INPUT: Shape = structure("PutResourcePolicyInput", &[
    required("ResourceARN", &values::RESOURCE_ARN),
    optional("StreamId", &values::STREAM_ID),
    required("Policy", &values::POLICY),
]);
pub static RECORD: Shape = structure("Record", &[
    optional("PartitionKey", &values::PARTITION_KEY),
    required("Data", &values::DATA),
    required("SequenceNumber", &values::SEQUENCE_NUMBER),
    optional("ApproximateArrivalTimestamp", &values::TIMESTAMP),
    optional("EncryptionType", &values::ENCRYPTION_TYPE),
]);
pub static REGISTER_STREAM_CONSUMER_INPUT: Shape = structure("RegisterStreamConsumerInput", &[
    required("StreamARN", &values::STREAM_ARN),
    required("ConsumerName", &values::CONSUMER_NAME),
    optional("StreamId", &values::STREAM_ID),
    optional("Tags", &values::TAG_MAP),
]);
pub static REGISTER_STREAM_CONSUMER_OUTPUT: Shape = structure("RegisterStreamConsumerOutput", &[
    required("Consumer", &CONSUMER),
]);
pub static REMOVE_TAGS_FROM_STREAM_INPUT: Shape = structure("RemoveTagsFromStreamInput", &[
    required("TagKeys", &values::TAG_KEY_LIST),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static RESOURCE_IN_USE_EXCEPTION: Shape = structure("ResourceInUseException", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static RESOURCE_NOT_FOUND_EXCEPTION: Shape = structure("ResourceNotFoundException", &[
    optional("message", &values::ERROR_MESSAGE),
]);
pub static SEQUENCE_NUMBER_RANGE: Shape = structure("SequenceNumberRange", &[
    required("StartingSequenceNumber", &values::SEQUENCE_NUMBER),
    optional("EndingSequenceNumber", &values::SEQUENCE_NUMBER),
]);
pub static SHARD: Shape = structure("Shard", &[
    required("ShardId", &values::SHARD_ID),
    optional("ParentShardId", &values::SHARD_ID),
    optional("AdjacentParentShardId", &values::SHARD_ID),
    required("HashKeyRange", &HASH_KEY_RANGE),
    required("SequenceNumberRange", &SEQUENCE_NUMBER_RANGE),
]);
pub static SHARD_FILTER: Shape = structure("ShardFilter", &[
    required("Type", &values::SHARD_FILTER_TYPE),
    optional("ShardId", &values::SHARD_ID),
    optional("Timestamp", &values::TIMESTAMP),
]);
pub static SPLIT_SHARD_INPUT: Shape = structure("SplitShardInput", &[
    required("NewStartingHashKey", &values::HASH_KEY),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
    required("ShardToSplit", &values::SHARD_ID),
]);
pub static START_STREAM_ENCRYPTION_INPUT: Shape = structure("StartStreamEncryptionInput", &[
    required("EncryptionType", &values::ENCRYPTION_TYPE),
    required("KeyId", &values::KEY_ID),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static STARTING_POSITION: Shape = structure("StartingPosition", &[
    required("Type", &values::SHARD_ITERATOR_TYPE),
    optional("SequenceNumber", &values::SEQUENCE_NUMBER),
    optional("Timestamp", &values::TIMESTAMP),
]);
pub static STOP_STREAM_ENCRYPTION_INPUT: Shape = structure("StopStreamEncryptionInput", &[
    required("EncryptionType", &values::ENCRYPTION_TYPE),
    required("KeyId", &values::KEY_ID),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static STREAM_DESCRIPTION: Shape = structure("StreamDescription", &[
    required("StreamARN", &values::STREAM_ARN),
    required("StreamStatus", &values::STREAM_STATUS),
    optional("StreamModeDetails", &STREAM_MODE_DETAILS),
    required("Shards", &values::SHARD_LIST),
    required("HasMoreShards", &values::BOOLEAN_OBJECT),
    required("RetentionPeriodHours", &values::RETENTION_PERIOD_HOURS),
    required("StreamCreationTimestamp", &values::TIMESTAMP),
    required("EnhancedMonitoring", &values::ENHANCED_MONITORING_LIST),
    optional("EncryptionType", &values::ENCRYPTION_TYPE),
    optional("KeyId", &values::KEY_ID),
    required("StreamName", &values::STREAM_NAME),
]);
pub static STREAM_DESCRIPTION_SUMMARY: Shape = structure("StreamDescriptionSummary", &[
    required("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    required("StreamStatus", &values::STREAM_STATUS),
    optional("StreamModeDetails", &STREAM_MODE_DETAILS),
    required("RetentionPeriodHours", &values::RETENTION_PERIOD_HOURS),
    required("StreamCreationTimestamp", &values::TIMESTAMP),
    required("EnhancedMonitoring", &values::ENHANCED_MONITORING_LIST),
    optional("EncryptionType", &values::ENCRYPTION_TYPE),
    optional("KeyId", &values::KEY_ID),
    required("OpenShardCount", &values::SHARD_COUNT_OBJECT),
    optional("ConsumerCount", &values::CONSUMER_COUNT_OBJECT),
    optional("WarmThroughput", &WARM_THROUGHPUT_OBJECT),
    optional("MaxRecordSizeInKiB", &values::MAX_RECORD_SIZE_IN_KI_B),
    optional("ChannelCount", &values::CHANNEL_COUNT_OBJECT),
    optional("RecordDistributionStrategy", &values::RECORD_DISTRIBUTION_STRATEGY),
    optional("QueueCount", &values::QUEUE_COUNT_OBJECT),
    required("StreamName", &values::STREAM_NAME),
]);
pub static STREAM_MODE_DETAILS: Shape = structure("StreamModeDetails", &[
    required("StreamMode", &values::STREAM_MODE),
]);
pub static STREAM_SUMMARY: Shape = structure("StreamSummary", &[
    required("StreamARN", &values::STREAM_ARN),
    required("StreamStatus", &values::STREAM_STATUS),
    optional("StreamModeDetails", &STREAM_MODE_DETAILS),
    optional("StreamCreationTimestamp", &values::TIMESTAMP),
    required("StreamName", &values::STREAM_NAME),
]);
pub static SUBSCRIBE_TO_SHARD_EVENT: Shape = structure("SubscribeToShardEvent", &[
    required("Records", &values::RECORD_LIST),
    required("ContinuationSequenceNumber", &values::SEQUENCE_NUMBER),
    required("MillisBehindLatest", &values::MILLIS_BEHIND_LATEST),
    optional("ChildShards", &values::CHILD_SHARD_LIST),
]);
pub static SUBSCRIBE_TO_SHARD_EVENT_STREAM: Shape = structure("SubscribeToShardEventStream", &[
    required("SubscribeToShardEvent", &SUBSCRIBE_TO_SHARD_EVENT),
    optional("ResourceNotFoundException", &RESOURCE_NOT_FOUND_EXCEPTION),
    optional("ResourceInUseException", &RESOURCE_IN_USE_EXCEPTION),
    optional("KMSDisabledException", &KMS_DISABLED_EXCEPTION),
    optional("KMSInvalidStateException", &KMS_INVALID_STATE_EXCEPTION),
    optional("KMSAccessDeniedException", &KMS_ACCESS_DENIED_EXCEPTION),
    optional("KMSNotFoundException", &KMS_NOT_FOUND_EXCEPTION),
    optional("KMSOptInRequired", &KMS_OPT_IN_REQUIRED),
    optional("KMSThrottlingException", &KMS_THROTTLING_EXCEPTION),
    optional("InternalFailureException", &INTERNAL_FAILURE_EXCEPTION),
]);
pub static SUBSCRIBE_TO_SHARD_INPUT: Shape = structure("SubscribeToShardInput", &[
    required("ConsumerARN", &values::CONSUMER_ARN),
    optional("StreamId", &values::STREAM_ID),
    required("ShardId", &values::SHARD_ID),
    required("StartingPosition", &STARTING_POSITION),
    optional("DryRun", &values::BOOLEAN_OBJECT),
]);
pub static SUBSCRIBE_TO_SHARD_OUTPUT: Shape = structure("SubscribeToShardOutput", &[
    required("EventStream", &SUBSCRIBE_TO_SHARD_EVENT_STREAM),
]);
pub static TAG: Shape = structure("Tag", &[
    required("Key", &values::TAG_KEY),
    optional("Value", &values::TAG_VALUE),
]);
pub static TAG_RESOURCE_INPUT: Shape = structure("TagResourceInput", &[
    required("Tags", &values::TAG_MAP),
    required("ResourceARN", &values::RESOURCE_ARN),
    optional("StreamId", &values::STREAM_ID),
]);
pub static UNTAG_RESOURCE_INPUT: Shape = structure("UntagResourceInput", &[
    required("TagKeys", &values::TAG_KEY_LIST),
    required("ResourceARN", &values::RESOURCE_ARN),
    optional("StreamId", &values::STREAM_ID),
]);
pub static UPDATE_ACCOUNT_SETTINGS_INPUT: Shape = structure("UpdateAccountSettingsInput", &[
    required("MinimumThroughputBillingCommitment", &MINIMUM_THROUGHPUT_BILLING_COMMITMENT_INPUT),
]);
pub static UPDATE_ACCOUNT_SETTINGS_OUTPUT: Shape = structure("UpdateAccountSettingsOutput", &[
    optional("MinimumThroughputBillingCommitment", &MINIMUM_THROUGHPUT_BILLING_COMMITMENT_OUTPUT),
]);
pub static UPDATE_MAX_RECORD_SIZE_INPUT: Shape = structure("UpdateMaxRecordSizeInput", &[
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    required("MaxRecordSizeInKiB", &values::MAX_RECORD_SIZE_IN_KI_B),
]);
pub static UPDATE_SHARD_COUNT_INPUT: Shape = structure("UpdateShardCountInput", &[
    required("TargetShardCount", &values::POSITIVE_INTEGER_OBJECT),
    required("ScalingType", &values::SCALING_TYPE),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static UPDATE_SHARD_COUNT_OUTPUT: Shape = structure("UpdateShardCountOutput", &[
    optional("CurrentShardCount", &values::POSITIVE_INTEGER_OBJECT),
    optional("TargetShardCount", &values::POSITIVE_INTEGER_OBJECT),
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static UPDATE_STREAM_MODE_INPUT: Shape = structure("UpdateStreamModeInput", &[
    required("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    required("StreamModeDetails", &STREAM_MODE_DETAILS),
    optional("WarmThroughputMiBps", &values::NATURAL_INTEGER_OBJECT),
]);
pub static UPDATE_STREAM_RECORD_DISTRIBUTION_STRATEGY_INPUT: Shape = structure("UpdateStreamRecordDistributionStrategyInput", &[
    required("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    required("RecordDistributionStrategy", &values::RECORD_DISTRIBUTION_STRATEGY),
]);
pub static UPDATE_STREAM_WARM_THROUGHPUT_INPUT: Shape = structure("UpdateStreamWarmThroughputInput", &[
    optional("StreamARN", &values::STREAM_ARN),
    optional("StreamId", &values::STREAM_ID),
    required("WarmThroughputMiBps", &values::NATURAL_INTEGER_OBJECT),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static UPDATE_STREAM_WARM_THROUGHPUT_OUTPUT: Shape = structure("UpdateStreamWarmThroughputOutput", &[
    optional("StreamARN", &values::STREAM_ARN),
    optional("WarmThroughput", &WARM_THROUGHPUT_OBJECT),
    optional("StreamName", &values::STREAM_NAME),
]);
pub static WARM_THROUGHPUT_OBJECT: Shape = structure("WarmThroughputObject", &[
    optional("TargetMiBps", &values::NATURAL_INTEGER_OBJECT),
    optional("CurrentMiBps", &values::NATURAL_INTEGER_OBJECT),
]);
