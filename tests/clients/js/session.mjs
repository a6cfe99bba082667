// The client, its hook, and the few steps that all cases take.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as sdk from "@aws-sdk/client-kinesis";
import { called, endpoint, region, scheme } from "./report.mjs";

export const shardZero = "shardId-000000000000";
export const space = 1n << 128n;

/** An ordinary client, whose middleware tells the report what it called. */
export function client(options = {}) {
  const credentials = { accessKeyId: "any", secretAccessKey: "any" };
  const kinesis = new sdk.KinesisClient({ endpoint, region, credentials, maxAttempts: 3, ...options });
  const transport = kinesis.config.requestHandler.metadata.handlerProtocol.startsWith("h2") ? "http/2" : "http/1.1";
  const hook = (next, context) => async (args) => {
    const result = await next(args);
    const type = result.response.headers["content-type"] ?? "";
    called(context.commandName.replace(/Command$/, ""), type.includes("cbor") ? "cbor" : "json", transport, result.response.statusCode);
    return result;
  };
  kinesis.middlewareStack.add(hook, { step: "deserialize", priority: "low", name: "millstreamReport" });
  return kinesis;
}

const kinesis = client();

/** Calls an operation by its name. */
export async function call(operation, input = {}, by = kinesis) {
  return by.send(new sdk[`${operation}Command`](input));
}

export function streamName(text) {
  return `js-${scheme}-${text}`;
}

export async function create(text, shards = 1) {
  const StreamName = streamName(text);
  await call("CreateStream", { StreamName, ShardCount: shards });
  await active(StreamName);
  return StreamName;
}

export async function active(StreamName, by = kinesis) {
  await sdk.waitUntilStreamExists({ client: by, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, { StreamName });
}

export async function gone(StreamName, by = kinesis) {
  await sdk.waitUntilStreamNotExists({ client: by, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, { StreamName });
}

export async function summary(StreamName) {
  return (await call("DescribeStreamSummary", { StreamName })).StreamDescriptionSummary;
}

export async function iterator(StreamName, ShardId, ShardIteratorType = "TRIM_HORIZON", more = {}) {
  return (await call("GetShardIterator", { StreamName, ShardId, ShardIteratorType, ...more })).ShardIterator;
}

/** All records from an iterator to the tip or to the end of the shard; and the last answer. */
export async function read(position, Limit = 1000) {
  const records = [];
  for (let i = 0; i < 2000; i++) {
    const page = await call("GetRecords", { ShardIterator: position, Limit });
    records.push(...page.Records);
    position = page.NextShardIterator;
    if (!position || (page.Records.length === 0 && page.MillisBehindLatest === 0)) return [records, page];
  }
  assert.fail(`no end after ${records.length} records`);
}

/** Asserts that a call fails with this error, as the class that the SDK has for it. */
export async function fails(code, promise, word = "") {
  const error = await promise.then((answer) => assert.fail(`expected ${code}, got ${JSON.stringify(answer)}`), (error) => error);
  assert.equal(error.name, code, String(error));
  assert(error instanceof (sdk[code] ?? sdk.KinesisServiceException), `${error} has its class`);
  assert.equal(error.$metadata.httpStatusCode, 400);
  assert(error.$metadata.requestId, "a request id");
  assert(error.message.includes(word), `${word} is in ${error.message}`);
}

/** A command of the node's own. */
export function millstream(...words) {
  execFileSync(process.env.MILLSTREAM_BINARY, [...words, "--node", process.env.MILLSTREAM_NODE], { stdio: "ignore" });
}

export const bytes = (text) => new TextEncoder().encode(text);
export const text = (data) => new TextDecoder().decode(data);
