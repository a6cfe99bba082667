package millstream;

import static millstream.Report.check;
import static millstream.Report.equal;
import static millstream.Report.fields;
import static millstream.Report.told;

import com.google.common.util.concurrent.ListenableFuture;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.kinesis.producer.KinesisProducer;
import software.amazon.kinesis.producer.KinesisProducerConfiguration;
import software.amazon.kinesis.producer.UserRecordResult;
import software.amazon.kinesis.retrieval.AggregatorUtil;
import software.amazon.kinesis.retrieval.KinesisClientRecord;

/** The Kinesis Producer Library against the node: its native process, which speaks HTTPS only. */
final class Kpl {
    private static final int RECORDS = 5000;

    private final Report report = new Report("kpl");
    private final Session session = new Session(new Report("kpl-reader"), false);

    public static void main(String[] arguments) {
        Kpl kpl = new Kpl();
        String file = KinesisProducer.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        kpl.report.line(fields("version", file.replaceAll(".*-producer-|\\.jar$", "")));
        Map<String, Report.Case> cases = new LinkedHashMap<>();
        cases.put("aggregated records", () -> kpl.putAndRead("aggregated", true));
        cases.put("single records", () -> kpl.putAndRead("single", false));
        kpl.report.run(cases);
    }

    private void putAndRead(String text, boolean aggregated) throws Exception {
        KinesisClient kinesis = session.kinesis;
        String name = session.create("kpl-" + text, 3);
        KinesisProducer producer = new KinesisProducer(configuration(aggregated));
        Map<String, Integer> attempts = new TreeMap<>();
        try {
            List<ListenableFuture<UserRecordResult>> results = new ArrayList<>();
            for (int i = 0; i < RECORDS; i++) {
                results.add(producer.addUserRecord(name, "key-" + i % 50, ByteBuffer.wrap(("key-" + i % 50 + " " + i / 50).getBytes(StandardCharsets.UTF_8))));
            }
            producer.flush();
            for (ListenableFuture<UserRecordResult> result : results) {
                UserRecordResult done = result.get(60, TimeUnit.SECONDS);
                check(done.isSuccessful(), "a record was not put");
                attempts.merge("attempts", done.getAttempts().size(), Integer::sum);
            }
        } finally {
            producer.destroy();
        }
        // A record that the node had put elsewhere than the library predicted would have been tried again.
        equal(attempts.get("attempts"), RECORDS, "attempts");
        // The native process has no hook; that all records are there, put by nobody else, shows what it called.
        report.called("ListShards", "json", "http/1.1");
        report.called("PutRecords", "json", "http/1.1");

        Map<String, Integer> next = new TreeMap<>();
        int stored = 0;
        for (var shard : kinesis.listShards(r -> r.streamName(name)).shards()) {
            List<Record> records = session.read(session.iterator(name, shard.shardId(), ShardIteratorType.TRIM_HORIZON));
            stored += records.size();
            for (KinesisClientRecord record : new AggregatorUtil().deaggregate(records.stream().map(KinesisClientRecord::fromRecord).toList())) {
                String[] parts = StandardCharsets.UTF_8.decode(record.data()).toString().split(" ");
                check(parts[0].equals(record.partitionKey()), "the key of " + parts[0]);
                next.merge(parts[0], 1, Integer::sum);
            }
        }
        equal(next.size(), 50, "keys");
        check(next.values().stream().allMatch(count -> count == RECORDS / 50), "records of each key: " + next);
        check(aggregated ? stored < RECORDS / 10 : stored == RECORDS, stored + " records are stored");
    }

    private static KinesisProducerConfiguration configuration(boolean aggregated) {
        URI endpoint = URI.create(Report.ENDPOINT);
        URI metrics = URI.create(told("MILLSTREAM_CLOUDWATCH"));
        return new KinesisProducerConfiguration()
                .setCredentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("any", "any")))
                .setRegion(told("AWS_REGION"))
                .setKinesisEndpoint(endpoint.getHost())
                .setKinesisPort(endpoint.getPort())
                .setCloudwatchEndpoint(metrics.getHost())
                .setCloudwatchPort(metrics.getPort())
                .setStsEndpoint(metrics.getHost())
                .setStsPort(metrics.getPort())
                .setMetricsLevel("none")
                .setVerifyCertificate(false)
                .setAggregationEnabled(aggregated)
                .setTempDirectory(told("MILLSTREAM_TARGET"))
                .setRecordMaxBufferedTime(100)
                .setLogLevel("warning");
    }
}
