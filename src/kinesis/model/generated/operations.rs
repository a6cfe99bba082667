//! The operations, by name: input, output, errors.
//!
//! Written by `tools/kinesis-model/generate.py` from the service model `kinesis/2013-12-02/service-2.json`; not edited
//! by hand.

use super::structures;
use crate::kinesis::model::Operation;

pub static OPERATIONS: [Operation; 40] = [
    Operation {
        name: "AddTagsToStream",
        input: &structures::ADD_TAGS_TO_STREAM_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "CreateStream",
        input: &structures::CREATE_STREAM_INPUT,
        output: None,
        errors: &[
            "InvalidArgumentException", "LimitExceededException", "ResourceInUseException",
            "ValidationException",
        ],
    },
    Operation {
        name: "DecreaseStreamRetentionPeriod",
        input: &structures::DECREASE_STREAM_RETENTION_PERIOD_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "DeleteResourcePolicy",
        input: &structures::DELETE_RESOURCE_POLICY_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InternalFailureException", "InvalidArgumentException",
            "LimitExceededException", "ResourceInUseException", "ResourceNotFoundException",
            "ValidationException",
        ],
    },
    Operation {
        name: "DeleteStream",
        input: &structures::DELETE_STREAM_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "DeregisterStreamConsumer",
        input: &structures::DEREGISTER_STREAM_CONSUMER_INPUT,
        output: None,
        errors: &[
            "InvalidArgumentException", "LimitExceededException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "DescribeAccountSettings",
        input: &structures::DESCRIBE_ACCOUNT_SETTINGS_INPUT,
        output: Some(&structures::DESCRIBE_ACCOUNT_SETTINGS_OUTPUT),
        errors: &[
            "LimitExceededException",
        ],
    },
    Operation {
        name: "DescribeLimits",
        input: &structures::DESCRIBE_LIMITS_INPUT,
        output: Some(&structures::DESCRIBE_LIMITS_OUTPUT),
        errors: &[
            "LimitExceededException",
        ],
    },
    Operation {
        name: "DescribeStream",
        input: &structures::DESCRIBE_STREAM_INPUT,
        output: Some(&structures::DESCRIBE_STREAM_OUTPUT),
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "DescribeStreamConsumer",
        input: &structures::DESCRIBE_STREAM_CONSUMER_INPUT,
        output: Some(&structures::DESCRIBE_STREAM_CONSUMER_OUTPUT),
        errors: &[
            "InvalidArgumentException", "LimitExceededException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "DescribeStreamSummary",
        input: &structures::DESCRIBE_STREAM_SUMMARY_INPUT,
        output: Some(&structures::DESCRIBE_STREAM_SUMMARY_OUTPUT),
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "DisableEnhancedMonitoring",
        input: &structures::DISABLE_ENHANCED_MONITORING_INPUT,
        output: Some(&structures::ENHANCED_MONITORING_OUTPUT),
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "EnableEnhancedMonitoring",
        input: &structures::ENABLE_ENHANCED_MONITORING_INPUT,
        output: Some(&structures::ENHANCED_MONITORING_OUTPUT),
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "GetRecords",
        input: &structures::GET_RECORDS_INPUT,
        output: Some(&structures::GET_RECORDS_OUTPUT),
        errors: &[
            "AccessDeniedException", "DryRunOperationException", "ExpiredIteratorException",
            "InternalFailureException", "InvalidArgumentException", "KMSAccessDeniedException",
            "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired",
            "KMSThrottlingException", "ProvisionedThroughputExceededException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "GetResourcePolicy",
        input: &structures::GET_RESOURCE_POLICY_INPUT,
        output: Some(&structures::GET_RESOURCE_POLICY_OUTPUT),
        errors: &[
            "AccessDeniedException", "InternalFailureException", "InvalidArgumentException",
            "LimitExceededException", "ResourceInUseException", "ResourceNotFoundException",
            "ValidationException",
        ],
    },
    Operation {
        name: "GetShardIterator",
        input: &structures::GET_SHARD_ITERATOR_INPUT,
        output: Some(&structures::GET_SHARD_ITERATOR_OUTPUT),
        errors: &[
            "AccessDeniedException", "DryRunOperationException", "InternalFailureException",
            "InvalidArgumentException", "ProvisionedThroughputExceededException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "IncreaseStreamRetentionPeriod",
        input: &structures::INCREASE_STREAM_RETENTION_PERIOD_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "ListShards",
        input: &structures::LIST_SHARDS_INPUT,
        output: Some(&structures::LIST_SHARDS_OUTPUT),
        errors: &[
            "AccessDeniedException", "ExpiredNextTokenException", "InvalidArgumentException",
            "LimitExceededException", "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "ListStreamConsumers",
        input: &structures::LIST_STREAM_CONSUMERS_INPUT,
        output: Some(&structures::LIST_STREAM_CONSUMERS_OUTPUT),
        errors: &[
            "ExpiredNextTokenException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "ListStreams",
        input: &structures::LIST_STREAMS_INPUT,
        output: Some(&structures::LIST_STREAMS_OUTPUT),
        errors: &[
            "ExpiredNextTokenException", "InvalidArgumentException", "LimitExceededException",
        ],
    },
    Operation {
        name: "ListTagsForResource",
        input: &structures::LIST_TAGS_FOR_RESOURCE_INPUT,
        output: Some(&structures::LIST_TAGS_FOR_RESOURCE_OUTPUT),
        errors: &[
            "AccessDeniedException", "InternalFailureException", "InvalidArgumentException",
            "LimitExceededException", "ResourceInUseException", "ResourceNotFoundException",
            "ValidationException",
        ],
    },
    Operation {
        name: "ListTagsForStream",
        input: &structures::LIST_TAGS_FOR_STREAM_INPUT,
        output: Some(&structures::LIST_TAGS_FOR_STREAM_OUTPUT),
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "MergeShards",
        input: &structures::MERGE_SHARDS_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException", "ValidationException",
        ],
    },
    Operation {
        name: "PutRecord",
        input: &structures::PUT_RECORD_INPUT,
        output: Some(&structures::PUT_RECORD_OUTPUT),
        errors: &[
            "AccessDeniedException", "DryRunOperationException", "InternalFailureException",
            "InvalidArgumentException", "KMSAccessDeniedException", "KMSDisabledException",
            "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired", "KMSThrottlingException",
            "ProvisionedThroughputExceededException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "PutRecords",
        input: &structures::PUT_RECORDS_INPUT,
        output: Some(&structures::PUT_RECORDS_OUTPUT),
        errors: &[
            "AccessDeniedException", "DryRunOperationException", "InternalFailureException",
            "InvalidArgumentException", "KMSAccessDeniedException", "KMSDisabledException",
            "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired", "KMSThrottlingException",
            "ProvisionedThroughputExceededException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "PutResourcePolicy",
        input: &structures::PUT_RESOURCE_POLICY_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InternalFailureException", "InvalidArgumentException",
            "LimitExceededException", "ResourceInUseException", "ResourceNotFoundException",
            "ValidationException",
        ],
    },
    Operation {
        name: "RegisterStreamConsumer",
        input: &structures::REGISTER_STREAM_CONSUMER_INPUT,
        output: Some(&structures::REGISTER_STREAM_CONSUMER_OUTPUT),
        errors: &[
            "InvalidArgumentException", "LimitExceededException", "ResourceInUseException",
            "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "RemoveTagsFromStream",
        input: &structures::REMOVE_TAGS_FROM_STREAM_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "SplitShard",
        input: &structures::SPLIT_SHARD_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException", "ValidationException",
        ],
    },
    Operation {
        name: "StartStreamEncryption",
        input: &structures::START_STREAM_ENCRYPTION_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "KMSAccessDeniedException",
            "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired",
            "KMSThrottlingException", "LimitExceededException", "ResourceInUseException",
            "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "StopStreamEncryption",
        input: &structures::STOP_STREAM_ENCRYPTION_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "SubscribeToShard",
        input: &structures::SUBSCRIBE_TO_SHARD_INPUT,
        output: Some(&structures::SUBSCRIBE_TO_SHARD_OUTPUT),
        errors: &[
            "AccessDeniedException", "DryRunOperationException", "InvalidArgumentException",
            "LimitExceededException", "ResourceInUseException", "ResourceNotFoundException",
        ],
    },
    Operation {
        name: "TagResource",
        input: &structures::TAG_RESOURCE_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InternalFailureException", "InvalidArgumentException",
            "LimitExceededException", "ResourceInUseException", "ResourceNotFoundException",
            "ValidationException",
        ],
    },
    Operation {
        name: "UntagResource",
        input: &structures::UNTAG_RESOURCE_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InternalFailureException", "InvalidArgumentException",
            "LimitExceededException", "ResourceInUseException", "ResourceNotFoundException",
            "ValidationException",
        ],
    },
    Operation {
        name: "UpdateAccountSettings",
        input: &structures::UPDATE_ACCOUNT_SETTINGS_INPUT,
        output: Some(&structures::UPDATE_ACCOUNT_SETTINGS_OUTPUT),
        errors: &[
            "InvalidArgumentException", "LimitExceededException", "ValidationException",
        ],
    },
    Operation {
        name: "UpdateMaxRecordSize",
        input: &structures::UPDATE_MAX_RECORD_SIZE_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException", "ValidationException",
        ],
    },
    Operation {
        name: "UpdateShardCount",
        input: &structures::UPDATE_SHARD_COUNT_INPUT,
        output: Some(&structures::UPDATE_SHARD_COUNT_OUTPUT),
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException", "ValidationException",
        ],
    },
    Operation {
        name: "UpdateStreamMode",
        input: &structures::UPDATE_STREAM_MODE_INPUT,
        output: None,
        errors: &[
            "InvalidArgumentException", "LimitExceededException", "ResourceInUseException",
            "ResourceNotFoundException", "ValidationException",
        ],
    },
    Operation {
        name: "UpdateStreamRecordDistributionStrategy",
        input: &structures::UPDATE_STREAM_RECORD_DISTRIBUTION_STRATEGY_INPUT,
        output: None,
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException", "ValidationException",
        ],
    },
    Operation {
        name: "UpdateStreamWarmThroughput",
        input: &structures::UPDATE_STREAM_WARM_THROUGHPUT_INPUT,
        output: Some(&structures::UPDATE_STREAM_WARM_THROUGHPUT_OUTPUT),
        errors: &[
            "AccessDeniedException", "InvalidArgumentException", "LimitExceededException",
            "ResourceInUseException", "ResourceNotFoundException", "ValidationException",
        ],
    },
];
