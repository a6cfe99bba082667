package main

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// setClock moves the clock of the node at clockedEndpoint, to "+301s" ahead of the true time for example.
func setClock(ahead string) {
	clock := os.Getenv("MILLSTREAM_CLOCK_FILE")
	must(0, os.WriteFile(clock+".new", []byte(ahead), 0o644))
	// The node reads the file whenever it asks for the time: never half of it.
	must(0, os.Rename(clock+".new", clock))
}

// expiry lets an iterator and tokens grow older than the 5 minutes that they live.
func expiry() {
	by, name := client(clockedEndpoint, "any", "any"), named("expiry")
	must(by.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(2)}))
	active(by, name)
	arn := must(by.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})).StreamDescriptionSummary.StreamARN
	for _, consumer := range []string{"one", "two"} {
		must(by.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: &consumer}))
	}
	must(by.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, Data: []byte("x"), PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("0")}))
	horizon := &kinesis.GetShardIteratorInput{StreamName: name, ShardId: aws.String(shardZero), ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	position := must(by.GetShardIterator(ctx, horizon)).ShardIterator
	shards := must(by.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name, MaxResults: aws.Int32(1)})).NextToken
	consumers := must(by.ListStreamConsumers(ctx, &kinesis.ListStreamConsumersInput{StreamARN: arn, MaxResults: aws.Int32(1)})).NextToken

	get := func(position *string) (*kinesis.GetRecordsOutput, error) {
		return by.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: position})
	}
	moreShards := func() (*kinesis.ListShardsOutput, error) {
		return by.ListShards(ctx, &kinesis.ListShardsInput{NextToken: shards})
	}
	moreConsumers := func() (*kinesis.ListStreamConsumersOutput, error) {
		return by.ListStreamConsumers(ctx, &kinesis.ListStreamConsumersInput{StreamARN: arn, NextToken: consumers})
	}
	setClock("+240s")
	page := must(get(position))
	equal(len(page.Records), 1, "records after 4 minutes")
	equal(len(must(moreShards()).Shards), 1, "shards of the second page after 4 minutes")
	equal(len(must(moreConsumers()).Consumers), 1, "consumers of the second page after 4 minutes")
	setClock("+301s")
	_, err := get(position)
	fails[*types.ExpiredIteratorException](err, "ExpiredIteratorException")
	_, err = moreShards()
	fails[*types.ExpiredNextTokenException](err, "ExpiredNextTokenException")
	_, err = moreConsumers()
	fails[*types.ExpiredNextTokenException](err, "ExpiredNextTokenException")
	equal(len(must(get(page.NextShardIterator)).Records), 0, "records by the iterator that the first one was traded for")
}
