package millstream;

import static millstream.Report.check;
import static millstream.Report.equal;
import static millstream.Report.fields;
import static millstream.Report.told;
import static millstream.Session.SHARD_ONE;
import static millstream.Session.SHARD_ZERO;
import static millstream.Session.fails;

import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.AccessDeniedException;
import software.amazon.awssdk.services.kinesis.model.GetRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.InvalidArgumentException;
import software.amazon.awssdk.services.kinesis.model.KinesisException;
import software.amazon.awssdk.services.kinesis.model.ListStreamConsumersRequest;
import software.amazon.awssdk.services.kinesis.model.ListStreamsRequest;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ResourceInUseException;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.ScalingType;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.ShardFilterType;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StreamMode;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.awssdk.services.kinesis.paginators.ListStreamConsumersIterable;
import software.amazon.awssdk.services.kinesis.paginators.ListStreamsIterable;

/** The AWS SDK for Java 2 against the node: the sync client, or the async one. */
final class Sdk {
    private final Session session;
    private final KinesisClient kinesis;

    private Sdk(Session session) {
        this.session = session;
        this.kinesis = session.kinesis;
    }

    public static void main(String[] arguments) {
        boolean async = arguments[0].equals("async");
        Report report = new Report("java-" + arguments[0]);
        report.line(fields("version", VersionInfo.SDK_VERSION));
        Sdk sdk = new Sdk(new Session(report, async));
        Map<String, Report.Case> cases = new LinkedHashMap<>();
        cases.put("life of a stream", sdk::lifeOfAStream);
        cases.put("put and get", sdk::putAndGet);
        cases.put("partial failures", sdk::partialFailures);
        cases.put("resharding", sdk::resharding);
        cases.put("pages", sdk::pages);
        cases.put("errors", sdk::errors);
        cases.put("expiry", new Expiry(sdk.session)::run);
        cases.put("other operations", new Others(sdk.session)::run);
        if (async) {
            Push push = new Push(sdk.session);
            cases.put("fan out", push::overHttp2);
            cases.put("fan out over HTTP/1.1", push::overHttp1);
        }
        report.run(cases);
    }

    private static PutRecordsRequestEntry entry(String key, SdkBytes data) {
        return PutRecordsRequestEntry.builder().partitionKey(key).data(data).build();
    }

    private void lifeOfAStream() throws Exception {
        String name = session.create("life", 2);
        var described = kinesis.describeStream(r -> r.streamName(name)).streamDescription();
        equal(described.streamStatus(), StreamStatus.ACTIVE, "StreamStatus");
        equal(described.shards().size(), 2, "shards");
        check(Duration.between(described.streamCreationTimestamp(), Instant.now()).abs().toSeconds() < 60, "StreamCreationTimestamp " + described.streamCreationTimestamp());
        String arn = session.summary(name).streamARN();
        check(arn.startsWith("arn:aws:kinesis:" + told("AWS_REGION") + ":") && arn.endsWith(":stream/" + name), arn);
        kinesis.addTagsToStream(r -> r.streamName(name).tags(Map.of("team", "blue", "größe", "groß")));
        kinesis.removeTagsFromStream(r -> r.streamARN(arn).tagKeys("team"));
        var tags = kinesis.listTagsForStream(r -> r.streamName(name)).tags();
        equal(tags.size() + tags.get(0).key() + tags.get(0).value(), "1größegroß", "tags");
        kinesis.tagResource(r -> r.resourceARN(arn).tags(Map.of("a", "b")));
        kinesis.untagResource(r -> r.resourceARN(arn).tagKeys("größe"));
        equal(kinesis.listTagsForResource(r -> r.resourceARN(arn)).tags().size(), 1, "tags of the resource");
        kinesis.increaseStreamRetentionPeriod(r -> r.streamName(name).retentionPeriodHours(48));
        equal(session.summary(name).retentionPeriodHours(), 48, "RetentionPeriodHours");
        kinesis.decreaseStreamRetentionPeriod(r -> r.streamName(name).retentionPeriodHours(24));
        kinesis.updateStreamMode(r -> r.streamARN(arn).streamModeDetails(m -> m.streamMode(StreamMode.ON_DEMAND)));
        equal(session.summary(name).streamModeDetails().streamMode(), StreamMode.ON_DEMAND, "StreamMode");
        kinesis.deleteStream(r -> r.streamName(name));
        Session.waiter(kinesis).waitUntilStreamNotExists(r -> r.streamName(name));
        fails(ResourceNotFoundException.class, "ResourceNotFoundException", () -> session.summary(name));
    }

    private void putAndGet() throws Exception {
        String name = session.create("records", 2);
        byte[] blob = new byte[256];
        IntStream.range(0, 256).forEach(i -> blob[i] = (byte) i);
        Map<List<String>, SdkBytes> sent = new HashMap<>();
        var one = kinesis.putRecord(r -> r.streamName(name).data(SdkBytes.fromByteArray(blob)).partitionKey("ключ-🔑").explicitHashKey("0"));
        sent.put(List.of(one.shardId(), one.sequenceNumber()), SdkBytes.fromByteArray(blob));
        List<PutRecordsRequestEntry> entries = IntStream.range(0, 500).mapToObj(i -> entry("key-" + i, SdkBytes.fromUtf8String("data " + i))).toList();
        var answer = kinesis.putRecords(r -> r.streamName(name).records(entries));
        equal(answer.failedRecordCount(), 0, "FailedRecordCount");
        for (int i = 0; i < 500; i++) {
            sent.put(List.of(answer.records().get(i).shardId(), answer.records().get(i).sequenceNumber()), entries.get(i).data());
        }
        Map<List<String>, SdkBytes> got = new HashMap<>();
        for (String shard : List.of(SHARD_ZERO, SHARD_ONE)) {
            BigInteger before = BigInteger.ZERO;
            for (Record record : session.read(session.iterator(name, shard, ShardIteratorType.TRIM_HORIZON))) {
                BigInteger number = new BigInteger(record.sequenceNumber());
                check(before.compareTo(number) < 0, "sequence numbers rise");
                before = number;
                check(Duration.between(record.approximateArrivalTimestamp(), Instant.now()).abs().toSeconds() < 60, "arrival " + record.approximateArrivalTimestamp());
                got.put(List.of(shard, record.sequenceNumber()), record.data());
            }
        }
        check(got.equals(sent), got.size() + " records of " + sent.size() + " came back");

        List<Record> records = session.read(session.iterator(name, SHARD_ZERO, ShardIteratorType.TRIM_HORIZON));
        String third = records.get(2).sequenceNumber();
        equal(first(name, ShardIteratorType.AT_SEQUENCE_NUMBER, third, null), third, "AT_SEQUENCE_NUMBER");
        equal(first(name, ShardIteratorType.AFTER_SEQUENCE_NUMBER, third, null), records.get(3).sequenceNumber(), "AFTER_SEQUENCE_NUMBER");
        equal(first(name, ShardIteratorType.AT_TIMESTAMP, null, Instant.ofEpochSecond(1_600_000_000)), records.get(0).sequenceNumber(), "AT_TIMESTAMP");
        String latest = session.iterator(name, SHARD_ZERO, ShardIteratorType.LATEST);
        Thread.sleep(20);
        String late = session.put(name, "late");
        List<Record> after = session.read(latest);
        equal(after.size() + after.get(0).sequenceNumber(), 1 + late, "records after LATEST");
        equal(first(name, ShardIteratorType.AT_TIMESTAMP, null, after.get(0).approximateArrivalTimestamp()), late, "AT_TIMESTAMP");
    }

    private String first(String name, ShardIteratorType kind, String number, Instant moment) {
        var position = kinesis.getShardIterator(r -> r.streamName(name).shardId(SHARD_ZERO).shardIteratorType(kind).startingSequenceNumber(number).timestamp(moment));
        return session.read(position.shardIterator()).get(0).sequenceNumber();
    }

    private void partialFailures() throws Exception {
        String name = session.create("limits", 1);
        Session.millstream("stream", "limits", name, "aws");
        List<PutRecordsRequestEntry> entries = IntStream.range(0, 200).mapToObj(i -> entry("" + i, SdkBytes.fromByteArray(new byte[16384]))).toList();
        var answer = kinesis.putRecords(r -> r.streamName(name).records(entries));
        var failed = answer.records().stream().filter(r -> r.errorCode() != null).toList();
        check(!failed.isEmpty() && failed.size() < 200, failed.size() + " failed");
        equal(answer.failedRecordCount(), failed.size(), "FailedRecordCount");
        check(failed.stream().allMatch(r -> r.errorCode().equals("ProvisionedThroughputExceededException") && r.sequenceNumber() == null), "" + failed);
    }

    private void resharding() throws Exception {
        String name = session.create("reshard", 2);
        Map<String, Integer> numbers = new HashMap<>();
        putSome(name, numbers);
        kinesis.splitShard(r -> r.streamName(name).shardToSplit(SHARD_ZERO).newStartingHashKey(BigInteger.TWO.pow(126).toString()));
        putSome(name, numbers);
        kinesis.mergeShards(r -> r.streamName(name).shardToMerge("shardId-000000000003").adjacentShardToMerge(SHARD_ONE));
        putSome(name, numbers);
        equal(kinesis.updateShardCount(r -> r.streamName(name).targetShardCount(4).scalingType(ScalingType.UNIFORM_SCALING)).targetShardCount(), 4, "TargetShardCount");
        putSome(name, numbers);

        // Parents before children, following ChildShards from the roots.
        Map<String, List<String>> waiting = new LinkedHashMap<>();
        for (Shard root : kinesis.listShards(r -> r.streamName(name).shardFilter(f -> f.type(ShardFilterType.AT_TRIM_HORIZON))).shards()) {
            waiting.put(root.shardId(), List.of());
        }
        Set<String> done = new HashSet<>();
        Map<String, Integer> next = new HashMap<>();
        while (!waiting.isEmpty()) {
            String shard = waiting.entrySet().stream().filter(e -> done.containsAll(e.getValue())).findFirst().orElseThrow().getKey();
            waiting.remove(shard);
            List<GetRecordsResponse> last = new ArrayList<>();
            for (Record record : session.read(session.iterator(name, shard, ShardIteratorType.TRIM_HORIZON), last)) {
                String[] parts = record.data().asUtf8String().split(" ");
                equal(Integer.valueOf(parts[1]), next.getOrDefault(parts[0], 0), "the next number of " + parts[0]);
                next.merge(parts[0], 1, Integer::sum);
            }
            done.add(shard);
            last.get(0).childShards().forEach(child -> waiting.put(child.shardId(), child.parentShards()));
        }
        equal(next, numbers, "the numbers of all keys");
    }

    private void putSome(String name, Map<String, Integer> numbers) {
        session.active(kinesis, name);
        List<PutRecordsRequestEntry> entries = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            String key = "key-" + i % 20;
            entries.add(entry(key, SdkBytes.fromUtf8String(key + " " + (numbers.merge(key, 1, Integer::sum) - 1))));
        }
        equal(kinesis.putRecords(r -> r.streamName(name).records(entries)).failedRecordCount(), 0, "FailedRecordCount");
    }

    private void pages() {
        List<String> names = IntStream.range(0, 5).mapToObj(i -> session.named("page-" + i)).toList();
        for (String name : names) {
            kinesis.createStream(r -> r.streamName(name).shardCount(5));
            session.active(kinesis, name);
        }
        // What listStreamsPaginator makes, for the async client has another of this name.
        var streams = new ListStreamsIterable(kinesis, ListStreamsRequest.builder().limit(2).build());
        equal(streams.stream().flatMap(p -> p.streamNames().stream()).filter(n -> n.startsWith(session.named("page-"))).toList(), names, "streams");
        String arn = session.summary(names.get(0)).streamARN();
        IntStream.range(0, 5).forEach(i -> kinesis.registerStreamConsumer(r -> r.streamARN(arn).consumerName("c" + i)));
        var consumers = new ListStreamConsumersIterable(kinesis, ListStreamConsumersRequest.builder().streamARN(arn).maxResults(2).build());
        equal(consumers.stream().mapToInt(p -> p.consumers().size()).sum(), 5, "consumers");
        var page = kinesis.listShards(r -> r.streamName(names.get(0)).maxResults(2));
        int count = page.shards().size();
        while (page.nextToken() != null) {
            String token = page.nextToken();
            page = kinesis.listShards(r -> r.nextToken(token).maxResults(2));
            count += page.shards().size();
        }
        equal(count, 5, "shards");
    }

    private void errors() throws Exception {
        String name = session.create("errors", 1);
        fails(ResourceNotFoundException.class, "ResourceNotFoundException", () -> kinesis.describeStream(r -> r.streamName(session.named("missing"))));
        fails(ResourceInUseException.class, "ResourceInUseException", () -> kinesis.createStream(r -> r.streamName(name).shardCount(1)));
        fails(InvalidArgumentException.class, "InvalidArgumentException", () -> kinesis.splitShard(r -> r.streamName(name).shardToSplit(SHARD_ZERO).newStartingHashKey("0")));
        fails(InvalidArgumentException.class, "InvalidArgumentException", () -> kinesis.getRecords(r -> r.shardIterator("garbage")));
        fails(KinesisException.class, "ValidationException", () -> kinesis.describeStream(r -> r.streamName("bad name!")));

        String endpoint = told("MILLSTREAM_KEYED_ENDPOINT");
        KinesisClient good = session.client(endpoint, told("MILLSTREAM_KEY"), told("MILLSTREAM_SECRET"));
        String signed = session.named("signed");
        good.createStream(r -> r.streamName(signed).shardCount(1));
        session.active(good, signed);
        good.putRecord(r -> r.streamName(signed).partitionKey("ключ").data(SdkBytes.fromUtf8String("größe")));
        KinesisClient wrong = session.client(endpoint, told("MILLSTREAM_KEY"), "wrong");
        fails(KinesisException.class, "InvalidSignatureException", wrong::listStreams);
        KinesisClient unknown = session.client(endpoint, "AKIDNONE", "any");
        fails(KinesisException.class, "UnrecognizedClientException", unknown::listStreams);
        KinesisClient reader = session.client(endpoint, told("MILLSTREAM_READER_KEY"), told("MILLSTREAM_READER_SECRET"));
        fails(AccessDeniedException.class, "AccessDeniedException", () -> reader.putRecord(r -> r.streamName(signed).partitionKey("k").data(SdkBytes.fromUtf8String("x"))));
    }
}
