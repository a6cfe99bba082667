package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// subscribe waits out the 5 seconds for which the shard still belongs to an earlier call of the consumer.
func subscribe(consumer *string, position types.StartingPosition) *kinesis.SubscribeToShardEventStream {
	var stream *kinesis.SubscribeToShardEventStream
	until("a subscription", 15*time.Second, func() bool {
		// The SDK ignores this deadline while it waits for the first event; the driver's own ends what hangs.
		limited, cancel := context.WithTimeout(ctx, 60*time.Second)
		_ = cancel // The stream lives by it.
		answer, err := kin.SubscribeToShard(limited, &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: aws.String(shardZero), StartingPosition: &position})
		if isInUse(err) {
			return false
		}
		stream = must(answer, err).GetStream()
		return true
	})
	return stream
}

func next(stream *kinesis.SubscribeToShardEventStream) *types.SubscribeToShardEvent {
	select {
	case event, open := <-stream.Events():
		if !open {
			check(stream.Err() == nil, "the stream ended: %v", stream.Err())
			return nil
		}
		member, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		check(ok, "an event of another kind: %T", event)
		return &member.Value
	case <-time.After(30 * time.Second):
		panic("no event in 30 s")
	}
}

func nextRecords(stream *kinesis.SubscribeToShardEventStream) *types.SubscribeToShardEvent {
	for {
		event := next(stream)
		check(event != nil, "the stream goes on")
		if len(event.Records) > 0 {
			return event
		}
	}
}

func fanOut() {
	name := create("push", 1)
	arn := summary(name).StreamARN
	register := &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("app")}
	consumer := must(kin.RegisterStreamConsumer(ctx, register)).Consumer.ConsumerARN
	until("the consumer is active", 30*time.Second, func() bool {
		described := must(kin.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: consumer}))
		return described.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive
	})
	_, err := kin.RegisterStreamConsumer(ctx, register)
	fails[*types.ResourceInUseException](err, "ResourceInUseException")

	stream := subscribe(consumer, types.StartingPosition{Type: types.ShardIteratorTypeLatest})
	var times []time.Duration
	var event *types.SubscribeToShardEvent
	for i := range 20 {
		before := time.Now()
		go put(name, fmt.Sprint("push ", i))
		event = nextRecords(stream)
		times = append(times, time.Since(before))
		equal(string(event.Records[0].Data), fmt.Sprint("push ", i), "the record pushed")
	}
	line(map[string]any{"measure": "put_to_push_ms", "value": median(times)})
	must(0, stream.Close())

	put(name, "between")
	stream = subscribe(consumer, types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: event.ContinuationSequenceNumber})
	equal(string(nextRecords(stream).Records[0].Data), "between", "the record behind the continuation")
	must(kin.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: aws.String(shardZero), NewStartingHashKey: aws.String(half)}))
	var children []types.ChildShard
	for event := next(stream); event != nil; event = next(stream) {
		children = event.ChildShards
	}
	equal(len(children), 2, "children")
	equal(children[0].ParentShards[0], shardZero, "their parent")
	must(0, stream.Close())
	must(kin.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: consumer}))
	latest := &types.StartingPosition{Type: types.ShardIteratorTypeLatest}
	_, err = kin.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: aws.String(shardZero), StartingPosition: latest})
	fails[*types.ResourceNotFoundException](err, "ResourceNotFoundException")
}

// sdkVersion is that of the module that was built in.
func sdkVersion() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if strings.HasSuffix(module.Path, "/service/kinesis") {
			return module.Version
		}
	}
	return "unknown"
}
