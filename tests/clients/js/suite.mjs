// @aws-sdk/client-kinesis against the node.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import * as sdk from "@aws-sdk/client-kinesis";
import { clockedEndpoint, keyedEndpoint, line, region, run, setClock, until } from "./report.mjs";
import { active, bytes, call, client, create, fails, gone, iterator, millstream, read, shardZero, space, streamName, summary, text } from "./session.mjs";

async function lifeOfAStream() {
  const StreamName = await create("life", 2);
  const { StreamDescription: described } = await call("DescribeStream", { StreamName });
  assert.equal(described.StreamStatus, "ACTIVE");
  assert.equal(described.Shards.length, 2);
  assert(Math.abs(Date.now() - described.StreamCreationTimestamp.getTime()) < 60_000);
  const { StreamARN } = await summary(StreamName);
  assert(StreamARN.startsWith(`arn:aws:kinesis:${region}:`) && StreamARN.endsWith(`:stream/${StreamName}`), StreamARN);
  await call("AddTagsToStream", { StreamName, Tags: { team: "blue", größe: "groß" } });
  await call("RemoveTagsFromStream", { StreamName, TagKeys: ["team"] });
  assert.deepEqual((await call("ListTagsForStream", { StreamARN })).Tags, [{ Key: "größe", Value: "groß" }]);
  await call("TagResource", { ResourceARN: StreamARN, Tags: { a: "b" } });
  await call("UntagResource", { ResourceARN: StreamARN, TagKeys: ["größe"] });
  assert.deepEqual((await call("ListTagsForResource", { ResourceARN: StreamARN })).Tags, [{ Key: "a", Value: "b" }]);
  await call("IncreaseStreamRetentionPeriod", { StreamName, RetentionPeriodHours: 48 });
  assert.equal((await summary(StreamName)).RetentionPeriodHours, 48);
  await call("DecreaseStreamRetentionPeriod", { StreamName, RetentionPeriodHours: 24 });
  await call("UpdateStreamMode", { StreamARN, StreamModeDetails: { StreamMode: "ON_DEMAND" } });
  assert.equal((await summary(StreamName)).StreamModeDetails.StreamMode, "ON_DEMAND");
  assert((await call("ListStreams")).StreamNames.includes(StreamName));
  await call("DeleteStream", { StreamName });
  await gone(StreamName);
  await fails("ResourceNotFoundException", call("DescribeStreamSummary", { StreamName }));
}

async function putAndGet() {
  const StreamName = await create("records", 2);
  const blob = Uint8Array.from({ length: 256 }, (_, i) => i);
  const first = await call("PutRecord", { StreamName, Data: blob, PartitionKey: "ключ-🔑", ExplicitHashKey: "0" });
  assert.equal(first.ShardId, shardZero);
  const Records = Array.from({ length: 500 }, (_, i) => ({ Data: bytes(`data ${i}`), PartitionKey: `key-${i}` }));
  const put = await call("PutRecords", { StreamName, Records });
  assert.equal(put.FailedRecordCount, 0);
  const sent = new Map([[`${first.ShardId} ${first.SequenceNumber}`, "ключ-🔑"]]);
  put.Records.forEach((r, i) => sent.set(`${r.ShardId} ${r.SequenceNumber}`, Records[i].PartitionKey));
  const got = new Map();
  for (const shard of [shardZero, "shardId-000000000001"]) {
    const [records, last] = await read(await iterator(StreamName, shard), 100);
    assert.equal(last.MillisBehindLatest, 0);
    records.forEach((r, i) => {
      assert(i === 0 || BigInt(records[i - 1].SequenceNumber) < BigInt(r.SequenceNumber), "sequence numbers rise");
      assert(Math.abs(Date.now() - r.ApproximateArrivalTimestamp.getTime()) < 60_000);
      got.set(`${shard} ${r.SequenceNumber}`, r.PartitionKey);
    });
  }
  assert.deepEqual(new Map([...got].sort()), new Map([...sent].sort()));

  const [records] = await read(await iterator(StreamName, shardZero));
  assert.deepEqual(records[0].Data, blob);
  const third = records[2].SequenceNumber;
  const at = async (kind, more) => (await read(await iterator(StreamName, shardZero, kind, more)))[0][0]?.SequenceNumber;
  assert.equal(await at("AT_SEQUENCE_NUMBER", { StartingSequenceNumber: third }), third);
  assert.equal(await at("AFTER_SEQUENCE_NUMBER", { StartingSequenceNumber: third }), records[3].SequenceNumber);
  assert.equal(await at("AT_TIMESTAMP", { Timestamp: new Date(1_600_000_000_000) }), records[0].SequenceNumber);
  const latest = await iterator(StreamName, shardZero, "LATEST");
  await sleep(20);
  const late = await call("PutRecord", { StreamName, Data: bytes("late"), PartitionKey: "k", ExplicitHashKey: "0" });
  const [after] = await read(latest);
  assert.deepEqual(after.map((r) => r.SequenceNumber), [late.SequenceNumber]);
  assert.equal(await at("AT_TIMESTAMP", { Timestamp: after[0].ApproximateArrivalTimestamp }), late.SequenceNumber);
}

async function partialFailures() {
  const StreamName = await create("limits", 1);
  millstream("stream", "limits", StreamName, "aws");
  const Records = Array.from({ length: 200 }, (_, i) => ({ Data: new Uint8Array(16384), PartitionKey: `${i}` }));
  const answer = await call("PutRecords", { StreamName, Records });
  const failed = answer.Records.filter((r) => r.ErrorCode);
  assert(failed.length > 0 && failed.length < 200, `${failed.length} failed`);
  assert.equal(answer.FailedRecordCount, failed.length);
  assert(failed.every((r) => r.ErrorCode === "ProvisionedThroughputExceededException" && !r.SequenceNumber));
}

async function resharding() {
  const StreamName = await create("reshard", 2);
  const numbers = new Map();
  const put = async () => {
    const Records = [];
    for (let i = 0; i < 200; i++) {
      const key = `key-${i % 20}`;
      const number = numbers.get(key) ?? 0;
      numbers.set(key, number + 1);
      Records.push({ Data: bytes(JSON.stringify({ key, number })), PartitionKey: key });
    }
    assert.equal((await call("PutRecords", { StreamName, Records })).FailedRecordCount, 0);
  };
  await put();
  await call("SplitShard", { StreamName, ShardToSplit: shardZero, NewStartingHashKey: String(space / 4n) });
  await active(StreamName);
  await put();
  await call("MergeShards", { StreamName, ShardToMerge: "shardId-000000000003", AdjacentShardToMerge: "shardId-000000000001" });
  await active(StreamName);
  await put();
  assert.equal((await call("UpdateShardCount", { StreamName, TargetShardCount: 4, ScalingType: "UNIFORM_SCALING" })).TargetShardCount, 4);
  await active(StreamName);
  await put();

  // Parents before children, following ChildShards from the roots.
  const roots = (await call("ListShards", { StreamName, ShardFilter: { Type: "AT_TRIM_HORIZON" } })).Shards;
  const waiting = new Map(roots.map((s) => [s.ShardId, []]));
  const done = new Set();
  const next = new Map();
  while (waiting.size) {
    const [shard] = [...waiting].find(([, parents]) => parents.every((p) => done.has(p)));
    waiting.delete(shard);
    const [records, last] = await read(await iterator(StreamName, shard));
    for (const { key, number } of records.map((r) => JSON.parse(text(r.Data)))) {
      assert.equal(number, next.get(key) ?? 0, `the next number of ${key}`);
      next.set(key, number + 1);
    }
    done.add(shard);
    for (const child of last.ChildShards ?? []) waiting.set(child.ShardId, child.ParentShards);
  }
  assert.deepEqual(next, numbers);
}

async function subscribe(ConsumerARN, StartingPosition) {
  const attempt = () => call("SubscribeToShard", { ConsumerARN, ShardId: shardZero, StartingPosition }).catch((error) => {
    if (error instanceof sdk.ResourceInUseException) return null;
    throw error;
  });
  return (await until("a subscription", 15, attempt)).EventStream[Symbol.asyncIterator]();
}

async function nextRecords(events) {
  for (;;) {
    const { value, done } = await events.next();
    assert(!done, "the subscription goes on");
    assert(value.SubscribeToShardEvent, JSON.stringify(value));
    if (value.SubscribeToShardEvent.Records.length) return value.SubscribeToShardEvent;
  }
}

async function fanOut() {
  const StreamName = await create("push", 1);
  const { StreamARN } = await summary(StreamName);
  const { ConsumerARN } = (await call("RegisterStreamConsumer", { StreamARN, ConsumerName: "app" })).Consumer;
  const described = async () => (await call("DescribeStreamConsumer", { ConsumerARN })).ConsumerDescription;
  await until("the consumer is active", 30, async () => (await described()).ConsumerStatus === "ACTIVE");
  await fails("ResourceInUseException", call("RegisterStreamConsumer", { StreamARN, ConsumerName: "app" }));
  let events = await subscribe(ConsumerARN, { Type: "LATEST" });
  const times = [];
  let event;
  for (let i = 0; i < 20; i++) {
    const before = performance.now();
    const [pushed] = await Promise.all([nextRecords(events), call("PutRecord", { StreamName, Data: bytes(`push ${i}`), PartitionKey: "k" })]);
    times.push(performance.now() - before);
    assert.equal(text(pushed.Records[0].Data), `push ${i}`);
    event = pushed;
  }
  line({ measure: "put_to_push_ms", value: Math.round(times.sort((a, b) => a - b)[10] * 1000) / 1000 });
  await events.return?.();
  await call("PutRecord", { StreamName, Data: bytes("between"), PartitionKey: "k" });
  events = await subscribe(ConsumerARN, { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber: event.ContinuationSequenceNumber });
  assert.equal(text((await nextRecords(events)).Records[0].Data), "between");
  await call("SplitShard", { StreamName, ShardToSplit: shardZero, NewStartingHashKey: String(space / 2n) });
  for (;;) {
    const { value, done } = await events.next();
    assert(!done, "the children are told before the end");
    if (value.SubscribeToShardEvent.ChildShards?.length) {
      assert.equal(value.SubscribeToShardEvent.ContinuationSequenceNumber, undefined);
      break;
    }
  }
  assert((await events.next()).done, "the subscription ends with its shard");
  await call("DeregisterStreamConsumer", { ConsumerARN });
  await fails("ResourceNotFoundException", call("SubscribeToShard", { ConsumerARN, ShardId: shardZero, StartingPosition: { Type: "LATEST" } }));
}

async function pages() {
  const names = [0, 1, 2, 3, 4].map((i) => streamName(`page-${i}`));
  for (const StreamName of names) await call("CreateStream", { StreamName, ShardCount: 5 });
  const found = [];
  for await (const page of sdk.paginateListStreams({ client: client(), pageSize: 2 }, {})) found.push(...page.StreamNames);
  assert.deepEqual(found.filter((n) => n.startsWith(streamName("page-"))), names);
  const { StreamARN } = await summary(names[0]);
  for (let i = 0; i < 5; i++) await call("RegisterStreamConsumer", { StreamARN, ConsumerName: `c${i}` });
  const consumers = [];
  for await (const page of sdk.paginateListStreamConsumers({ client: client(), pageSize: 2 }, { StreamARN })) consumers.push(...page.Consumers);
  assert.equal(consumers.length, 5);
  let page = await call("ListShards", { StreamName: names[0], MaxResults: 2 });
  let count = page.Shards.length;
  while (page.NextToken) {
    page = await call("ListShards", { NextToken: page.NextToken, MaxResults: 2 });
    count += page.Shards.length;
  }
  assert.equal(count, 5);
  const first = (await call("DescribeStream", { StreamName: names[0], Limit: 3 })).StreamDescription;
  assert(first.HasMoreShards);
  const rest = (await call("DescribeStream", { StreamName: names[0], ExclusiveStartShardId: first.Shards[2].ShardId })).StreamDescription;
  assert.deepEqual([rest.HasMoreShards, rest.Shards.length], [false, 2]);
}

async function errors() {
  const StreamName = await create("errors", 1);
  await fails("ResourceNotFoundException", call("DescribeStream", { StreamName: streamName("missing") }), "not found");
  await fails("ResourceInUseException", call("CreateStream", { StreamName, ShardCount: 1 }));
  await fails("InvalidArgumentException", call("SplitShard", { StreamName, ShardToSplit: shardZero, NewStartingHashKey: "0" }));
  await fails("InvalidArgumentException", call("GetRecords", { ShardIterator: "garbage" }));
  await fails("ValidationException", call("DescribeStream", { StreamName: "bad name!" }), "1 validation error detected");
  const signed = (accessKeyId, secretAccessKey) => client({ endpoint: keyedEndpoint, credentials: { accessKeyId, secretAccessKey } });
  const good = signed(process.env.MILLSTREAM_KEY, process.env.MILLSTREAM_SECRET);
  const created = streamName("signed");
  await call("CreateStream", { StreamName: created, ShardCount: 1 }, good);
  await active(created, good);
  await call("PutRecord", { StreamName: created, Data: bytes("größe"), PartitionKey: "ключ" }, good);
  await fails("InvalidSignatureException", call("ListStreams", {}, signed(process.env.MILLSTREAM_KEY, "wrong")));
  await fails("UnrecognizedClientException", call("ListStreams", {}, signed("AKIDNONE", "any")));
  const reader = signed(process.env.MILLSTREAM_READER_KEY, process.env.MILLSTREAM_READER_SECRET);
  await fails("AccessDeniedException", call("PutRecord", { StreamName: created, Data: bytes("x"), PartitionKey: "k" }, reader));
}

async function expiry() {
  const by = client({ endpoint: clockedEndpoint });
  const StreamName = streamName("expiry");
  await call("CreateStream", { StreamName, ShardCount: 2 }, by);
  await active(StreamName, by);
  const { StreamARN } = (await call("DescribeStreamSummary", { StreamName }, by)).StreamDescriptionSummary;
  for (const ConsumerName of ["one", "two"]) await call("RegisterStreamConsumer", { StreamARN, ConsumerName }, by);
  await call("PutRecord", { StreamName, Data: bytes("x"), PartitionKey: "k", ExplicitHashKey: "0" }, by);
  const { ShardIterator } = await call("GetShardIterator", { StreamName, ShardId: shardZero, ShardIteratorType: "TRIM_HORIZON" }, by);
  const shards = (await call("ListShards", { StreamName, MaxResults: 1 }, by)).NextToken;
  const consumers = (await call("ListStreamConsumers", { StreamARN, MaxResults: 1 }, by)).NextToken;

  const get = (position) => call("GetRecords", { ShardIterator: position }, by);
  const moreShards = () => call("ListShards", { NextToken: shards }, by);
  const moreConsumers = () => call("ListStreamConsumers", { StreamARN, NextToken: consumers }, by);
  setClock("+240s");
  const page = await get(ShardIterator);
  assert.deepEqual(page.Records.map((r) => text(r.Data)), ["x"]);
  assert.deepEqual([(await moreShards()).Shards.length, (await moreConsumers()).Consumers.length], [1, 1]);
  setClock("+301s");
  await fails("ExpiredIteratorException", get(ShardIterator), "Iterator expired");
  await fails("ExpiredNextTokenException", moreShards(), "expired");
  await fails("ExpiredNextTokenException", moreConsumers(), "expired");
  // The iterator that the first one was traded for.
  assert.deepEqual((await get(page.NextShardIterator)).Records, []);
}

async function newerOperations() {
  const StreamName = await create("newer", 1);
  const { StreamARN } = await summary(StreamName);
  await call("UpdateMaxRecordSize", { StreamARN, MaxRecordSizeInKiB: 2048 });
  const large = new Uint8Array(1_500_000).fill(7);
  await call("PutRecord", { StreamName, Data: large, PartitionKey: "k" });
  assert.equal((await read(await iterator(StreamName, shardZero)))[0][0].Data.length, large.length);
  assert.equal((await summary(StreamName)).MaxRecordSizeInKiB, 2048);
  await call("DescribeAccountSettings");
  await call("DescribeLimits");
  await call("StartStreamEncryption", { StreamName, EncryptionType: "KMS", KeyId: "alias/aws/kinesis" });
  await call("StopStreamEncryption", { StreamName, EncryptionType: "KMS", KeyId: "alias/aws/kinesis" });
  await call("EnableEnhancedMonitoring", { StreamName, ShardLevelMetrics: ["IncomingBytes"] });
  await call("DisableEnhancedMonitoring", { StreamName, ShardLevelMetrics: ["IncomingBytes"] });
}

line({ version: createRequire(import.meta.url)("@aws-sdk/client-kinesis/package.json").version });
await run({
  "life of a stream": lifeOfAStream,
  "put and get": putAndGet,
  "partial failures": partialFailures,
  resharding,
  "fan out": fanOut,
  pages,
  errors,
  expiry,
  "newer operations": newerOperations,
});
