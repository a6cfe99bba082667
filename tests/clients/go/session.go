package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	shardZero = "shardId-000000000000"
	shardOne  = "shardId-000000000001"
	// The quarter and the half of the hash space.
	quarter = "85070591730234615865843651857942052864"
	half    = "170141183460469231731687303715884105728"
)

var (
	ctx = context.Background()
	kin = client(endpoint, "any", "any")
)

// client makes an ordinary client, whose middleware tells the report what it called.
func client(endpoint, key, secret string) *kinesis.Client {
	cfg := must(config.LoadDefaultConfig(ctx, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(key, secret, ""))))
	return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) {
		o.BaseEndpoint = aws.String(endpoint)
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("millstreamReport", report), middleware.After)
		})
	})
}

func report(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if response, ok := out.RawResponse.(*smithyhttp.Response); ok && response != nil {
		encoding := "json"
		if strings.Contains(response.Header.Get("Content-Type"), "cbor") {
			encoding = "cbor"
		}
		transport := strings.ToLower(strings.TrimSuffix(response.Proto, ".0"))
		called(awsmiddleware.GetOperationName(ctx), encoding, transport, response.StatusCode)
	}
	return out, metadata, err
}

func named(text string) *string { return aws.String("go-" + scheme + "-" + text) }

func create(text string, shards int32) *string {
	name := named(text)
	must(kin.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: &shards}))
	active(kin, name)
	return name
}

func active(by *kinesis.Client, name *string) {
	waiter := kinesis.NewStreamExistsWaiter(by, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, time.Minute); err != nil {
		panic(err)
	}
}

func summary(name *string) *types.StreamDescriptionSummary {
	return must(kin.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})).StreamDescriptionSummary
}

func put(name *string, data string) *kinesis.PutRecordOutput {
	return must(kin.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, Data: []byte(data), PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("0")}))
}

func iterator(name *string, shard string, kind types.ShardIteratorType, more ...func(*kinesis.GetShardIteratorInput)) *string {
	input := &kinesis.GetShardIteratorInput{StreamName: name, ShardId: &shard, ShardIteratorType: kind}
	for _, change := range more {
		change(input)
	}
	return must(kin.GetShardIterator(ctx, input)).ShardIterator
}

// read gives all records from an iterator to the tip or to the end of the shard, and the last answer.
func read(position *string) (records []types.Record, page *kinesis.GetRecordsOutput) {
	for range 2000 {
		page = must(kin.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: position, Limit: aws.Int32(100)}))
		records = append(records, page.Records...)
		position = page.NextShardIterator
		if position == nil || (len(page.Records) == 0 && *page.MillisBehindLatest == 0) {
			return records, page
		}
	}
	panic("no end")
}

// fails asserts that a call failed with this error, as the type that the SDK has for it.
func fails[E error](err error, code string) {
	var api smithy.APIError
	check(errors.As(err, &api), "expected %s, got %v", code, err)
	equal(api.ErrorCode(), code, "the error's code of "+err.Error())
	var typed E
	check(errors.As(err, &typed), "%v is a %T", err, typed)
	var response *smithyhttp.ResponseError
	check(errors.As(err, &response) && response.HTTPStatusCode() == 400, "status of %v", err)
}

// millstream runs a command of the node's own.
func millstream(words ...string) {
	command := exec.Command(os.Getenv("MILLSTREAM_BINARY"), append(words, "--node", os.Getenv("MILLSTREAM_NODE"))...)
	if out, err := command.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %v: %s", words, err, out))
	}
}
