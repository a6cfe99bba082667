// The AWS SDK for Go v2 against the node.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

func lifeOfAStream() {
	name := create("life", 2)
	described := must(kin.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: name})).StreamDescription
	equal(described.StreamStatus, types.StreamStatusActive, "StreamStatus")
	equal(len(described.Shards), 2, "shards")
	check(time.Since(*described.StreamCreationTimestamp).Abs() < time.Minute, "StreamCreationTimestamp %v", described.StreamCreationTimestamp)
	arn := summary(name).StreamARN
	check(strings.HasPrefix(*arn, "arn:aws:kinesis:"+region+":") && strings.HasSuffix(*arn, ":stream/"+*name), "%s", *arn)
	must(kin.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: name, Tags: map[string]string{"team": "blue", "größe": "groß"}}))
	must(kin.RemoveTagsFromStream(ctx, &kinesis.RemoveTagsFromStreamInput{StreamARN: arn, TagKeys: []string{"team"}}))
	tags := must(kin.ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: name})).Tags
	check(len(tags) == 1 && *tags[0].Key == "größe" && *tags[0].Value == "groß", "tags %v", tags)
	must(kin.TagResource(ctx, &kinesis.TagResourceInput{ResourceARN: arn, Tags: map[string]string{"a": "b"}}))
	must(kin.UntagResource(ctx, &kinesis.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"größe"}}))
	equal(len(must(kin.ListTagsForResource(ctx, &kinesis.ListTagsForResourceInput{ResourceARN: arn})).Tags), 1, "tags of the resource")
	must(kin.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: aws.Int32(48)}))
	equal(*summary(name).RetentionPeriodHours, 48, "RetentionPeriodHours")
	must(kin.DecreaseStreamRetentionPeriod(ctx, &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: aws.Int32(24)}))
	mode := &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
	must(kin.UpdateStreamMode(ctx, &kinesis.UpdateStreamModeInput{StreamARN: arn, StreamModeDetails: mode}))
	equal(summary(name).StreamModeDetails.StreamMode, types.StreamModeOnDemand, "StreamMode")
	must(kin.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name}))
	waiter := kinesis.NewStreamNotExistsWaiter(kin, func(o *kinesis.StreamNotExistsWaiterOptions) { o.MinDelay = time.Second })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, time.Minute); err != nil {
		panic(err)
	}
	_, err := kin.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})
	fails[*types.ResourceNotFoundException](err, "ResourceNotFoundException")
}

func putAndGet() {
	name := create("records", 2)
	blob := make([]byte, 256)
	for i := range blob {
		blob[i] = byte(i)
	}
	type place struct{ shard, number string }
	sent := map[place][]byte{}
	one := must(kin.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, Data: blob, PartitionKey: aws.String("ключ-🔑"), ExplicitHashKey: aws.String("0")}))
	sent[place{*one.ShardId, *one.SequenceNumber}] = blob
	var entries []types.PutRecordsRequestEntry
	for i := range 500 {
		entries = append(entries, types.PutRecordsRequestEntry{Data: fmt.Appendf(nil, "data %d", i), PartitionKey: aws.String(fmt.Sprint("key-", i))})
	}
	answer := must(kin.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: entries}))
	equal(*answer.FailedRecordCount, 0, "FailedRecordCount")
	for i, result := range answer.Records {
		sent[place{*result.ShardId, *result.SequenceNumber}] = entries[i].Data
	}
	count := 0
	for _, shard := range []string{shardZero, shardOne} {
		records, last := read(iterator(name, shard, types.ShardIteratorTypeTrimHorizon))
		equal(*last.MillisBehindLatest, 0, "MillisBehindLatest")
		before := new(big.Int)
		for _, record := range records {
			number, _ := new(big.Int).SetString(*record.SequenceNumber, 10)
			check(before.Cmp(number) < 0, "sequence numbers rise")
			before = number
			check(bytes.Equal(record.Data, sent[place{shard, *record.SequenceNumber}]), "data of %s", *record.SequenceNumber)
			check(time.Since(*record.ApproximateArrivalTimestamp).Abs() < time.Minute, "ApproximateArrivalTimestamp")
			count++
		}
	}
	equal(count, 501, "records")

	records, _ := read(iterator(name, shardZero, types.ShardIteratorTypeTrimHorizon))
	first := func(kind types.ShardIteratorType, number *string, moment *time.Time) string {
		found, _ := read(iterator(name, shardZero, kind, func(input *kinesis.GetShardIteratorInput) {
			input.StartingSequenceNumber, input.Timestamp = number, moment
		}))
		return *found[0].SequenceNumber
	}
	third := records[2].SequenceNumber
	equal(first(types.ShardIteratorTypeAtSequenceNumber, third, nil), *third, "AT_SEQUENCE_NUMBER")
	equal(first(types.ShardIteratorTypeAfterSequenceNumber, third, nil), *records[3].SequenceNumber, "AFTER_SEQUENCE_NUMBER")
	equal(first(types.ShardIteratorTypeAtTimestamp, nil, aws.Time(time.Unix(1_600_000_000, 0))), *records[0].SequenceNumber, "AT_TIMESTAMP")
	latest := iterator(name, shardZero, types.ShardIteratorTypeLatest)
	time.Sleep(20 * time.Millisecond)
	late := put(name, "late")
	after, _ := read(latest)
	check(len(after) == 1 && *after[0].SequenceNumber == *late.SequenceNumber, "records after LATEST: %v", after)
	equal(first(types.ShardIteratorTypeAtTimestamp, nil, after[0].ApproximateArrivalTimestamp), *late.SequenceNumber, "AT_TIMESTAMP")
}

func partialFailures() {
	name := create("limits", 1)
	millstream("stream", "limits", *name, "aws")
	var entries []types.PutRecordsRequestEntry
	for i := range 200 {
		entries = append(entries, types.PutRecordsRequestEntry{Data: make([]byte, 16384), PartitionKey: aws.String(fmt.Sprint(i))})
	}
	answer := must(kin.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: entries}))
	failed := 0
	for _, result := range answer.Records {
		if result.ErrorCode != nil {
			equal(*result.ErrorCode, "ProvisionedThroughputExceededException", "ErrorCode")
			check(result.SequenceNumber == nil, "a failed record has no sequence number")
			failed++
		}
	}
	check(failed > 0 && failed < 200 && int(*answer.FailedRecordCount) == failed, "%d failed", failed)
}

func resharding() {
	name := create("reshard", 2)
	type item struct {
		Key    string
		Number int
	}
	numbers := map[string]int{}
	putSome := func() {
		var entries []types.PutRecordsRequestEntry
		for i := range 200 {
			key := fmt.Sprint("key-", i%20)
			data := must(json.Marshal(item{key, numbers[key]}))
			numbers[key]++
			entries = append(entries, types.PutRecordsRequestEntry{Data: data, PartitionKey: &key})
		}
		equal(*must(kin.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: entries})).FailedRecordCount, 0, "FailedRecordCount")
		active(kin, name)
	}
	putSome()
	must(kin.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: aws.String(shardZero), NewStartingHashKey: aws.String(quarter)}))
	active(kin, name)
	putSome()
	must(kin.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: name, ShardToMerge: aws.String("shardId-000000000003"), AdjacentShardToMerge: aws.String(shardOne)}))
	active(kin, name)
	putSome()
	scaled := must(kin.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: name, TargetShardCount: aws.Int32(4), ScalingType: types.ScalingTypeUniformScaling}))
	equal(*scaled.TargetShardCount, 4, "TargetShardCount")
	active(kin, name)
	putSome()

	// Parents before children, following ChildShards from the roots.
	waiting, done, next := map[string][]string{}, map[string]bool{}, map[string]int{}
	filter := &types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}
	for _, root := range must(kin.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name, ShardFilter: filter})).Shards {
		waiting[*root.ShardId] = nil
	}
	for len(waiting) > 0 {
		for shard, parents := range waiting {
			ready := true
			for _, parent := range parents {
				ready = ready && done[parent]
			}
			if !ready {
				continue
			}
			delete(waiting, shard)
			records, last := read(iterator(name, shard, types.ShardIteratorTypeTrimHorizon))
			for _, record := range records {
				var got item
				must(0, json.Unmarshal(record.Data, &got))
				equal(got.Number, next[got.Key], "the next number of "+got.Key)
				next[got.Key]++
			}
			done[shard] = true
			for _, child := range last.ChildShards {
				waiting[*child.ShardId] = child.ParentShards
			}
		}
	}
	for key, number := range numbers {
		equal(next[key], number, "how many came of "+key)
	}
	equal(len(done), 9, "shards read")
}

func pages() {
	var names []*string
	for i := range 5 {
		names = append(names, named(fmt.Sprint("page-", i)))
		must(kin.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: names[i], ShardCount: aws.Int32(5)}))
	}
	found := 0
	streams := kinesis.NewListStreamsPaginator(kin, &kinesis.ListStreamsInput{Limit: aws.Int32(2)})
	for streams.HasMorePages() {
		for _, name := range must(streams.NextPage(ctx)).StreamNames {
			if strings.HasPrefix(name, *named("page-")) {
				found++
			}
		}
	}
	equal(found, 5, "streams")
	arn := summary(names[0]).StreamARN
	for i := range 5 {
		must(kin.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String(fmt.Sprint("c", i))}))
	}
	found = 0
	consumers := kinesis.NewListStreamConsumersPaginator(kin, &kinesis.ListStreamConsumersInput{StreamARN: arn, MaxResults: aws.Int32(2)})
	for consumers.HasMorePages() {
		found += len(must(consumers.NextPage(ctx)).Consumers)
	}
	equal(found, 5, "consumers")
	page := must(kin.ListShards(ctx, &kinesis.ListShardsInput{StreamName: names[0], MaxResults: aws.Int32(2)}))
	found = len(page.Shards)
	for page.NextToken != nil {
		page = must(kin.ListShards(ctx, &kinesis.ListShardsInput{NextToken: page.NextToken, MaxResults: aws.Int32(2)}))
		found += len(page.Shards)
	}
	equal(found, 5, "shards")
}

func failures() {
	name := create("errors", 1)
	_, err := kin.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: named("missing")})
	fails[*types.ResourceNotFoundException](err, "ResourceNotFoundException")
	_, err = kin.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)})
	fails[*types.ResourceInUseException](err, "ResourceInUseException")
	_, err = kin.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: aws.String(shardZero), NewStartingHashKey: aws.String("0")})
	fails[*types.InvalidArgumentException](err, "InvalidArgumentException")
	_, err = kin.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String("garbage")})
	fails[*types.InvalidArgumentException](err, "InvalidArgumentException")
	_, err = kin.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String("bad name!")})
	fails[smithy.APIError](err, "ValidationException")

	key, secret := os.Getenv("MILLSTREAM_KEY"), os.Getenv("MILLSTREAM_SECRET")
	good, signed := client(keyedEndpoint, key, secret), named("signed")
	must(good.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: signed, ShardCount: aws.Int32(1)}))
	active(good, signed)
	record := &kinesis.PutRecordInput{StreamName: signed, Data: []byte("größe"), PartitionKey: aws.String("ключ")}
	must(good.PutRecord(ctx, record))
	_, err = client(keyedEndpoint, key, "wrong").ListStreams(ctx, nil)
	fails[smithy.APIError](err, "InvalidSignatureException")
	_, err = client(keyedEndpoint, "AKIDNONE", secret).ListStreams(ctx, nil)
	fails[smithy.APIError](err, "UnrecognizedClientException")
	_, err = client(keyedEndpoint, os.Getenv("MILLSTREAM_READER_KEY"), os.Getenv("MILLSTREAM_READER_SECRET")).PutRecord(ctx, record)
	fails[*types.AccessDeniedException](err, "AccessDeniedException")
}

func isInUse(err error) bool {
	var inUse *types.ResourceInUseException
	return errors.As(err, &inUse)
}

func main() {
	current = "version"
	line(map[string]any{"version": sdkVersion()})
	runAll([]testCase{
		{"life of a stream", lifeOfAStream},
		{"put and get", putAndGet},
		{"partial failures", partialFailures},
		{"resharding", resharding},
		{"fan out", fanOut},
		{"pages", pages},
		{"errors", failures},
		{"expiry", expiry},
	})
}
