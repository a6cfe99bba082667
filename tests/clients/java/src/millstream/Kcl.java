package millstream;

import static millstream.Report.check;
import static millstream.Report.equal;
import static millstream.Report.fields;
import static millstream.Report.told;
import static millstream.Report.until;

import java.math.BigInteger;
import java.net.URI;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.coordinator.WorkerStateChangeListener;
import software.amazon.kinesis.leases.LeaseAssignmentStrategy;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/** The Kinesis Client Library 3 against the node: two workers that share the shards of a stream, across a split and a merge. */
final class Kcl {
    private static final int KEYS = 40;
    private static final int PATIENCE_S = 100;

    private final Report report;
    private final boolean fanOut;
    private final String stream;
    private final KinesisAsyncClient producer;
    private final Readings readings = new Readings();
    private final Map<String, Integer> numbers = new TreeMap<>();

    private Kcl(String mode) {
        report = new Report("kcl-" + mode);
        fanOut = mode.equals("fan-out");
        stream = "kcl-" + mode + "-" + Report.SCHEME;
        producer = KinesisAsyncClient.builder().endpointOverride(URI.create(Report.ENDPOINT)).build();
    }

    public static void main(String[] arguments) {
        Kcl kcl = new Kcl(arguments[0]);
        kcl.report.line(fields("version", Scheduler.class.getPackage().getImplementationVersion() == null ? versionOfJar() : Scheduler.class.getPackage().getImplementationVersion()));
        Map<String, Report.Case> cases = new LinkedHashMap<>();
        cases.put("two workers across a split and a merge", kcl::twoWorkers);
        kcl.report.run(cases);
    }

    /** The manifest does not name it, but the file does. */
    static String versionOfJar() {
        String file = Scheduler.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        return file.replaceAll(".*-client-|\\.jar$", "");
    }

    private void twoWorkers() throws Exception {
        producer.createStream(r -> r.streamName(stream).shardCount(2)).join();
        active();
        putSome();
        Report.step("put; starting worker one");
        Scheduler one = worker("one");
        Report.step("starting worker two");
        Scheduler two = worker("two");
        Report.step("started");
        until("both workers have shards", PATIENCE_S, () -> readings.workers().size() == 2);
        Report.step("both have shards");
        until("the first records", PATIENCE_S, this::allRead);

        Report.step("first records read");
        producer.splitShard(r -> r.streamName(stream).shardToSplit(open().get(0).shardId()).newStartingHashKey(BigInteger.TWO.pow(126).toString())).join();
        putSome();
        List<Shard> shards = open();
        producer.mergeShards(r -> r.streamName(stream).shardToMerge(shards.get(1).shardId()).adjacentShardToMerge(shards.get(2).shardId())).join();
        putSome();
        Report.step("split and merged");
        until("the records behind the split and the merge", PATIENCE_S, this::allRead);
        Report.step("read");
        // 0 and 1 at first; 2 and 3 from the split; 4 from the merge. The shards that ended were read to their ends.
        equal(readings.ended().size(), 3, "shards read to their ends");
        check(readings.failures().isEmpty(), readings.failures().toString());

        // One leaves; the other takes its shards over and goes on where it was. The one that stays is the one that assigns
        // shards to workers: with it gone, the library waits for most of a minute.
        boolean twoLeads = two.leaderDecider().isLeader("worker-two");
        Report.step("leads: one " + one.leaderDecider().isLeader("worker-one") + ", two " + twoLeads);
        check((twoLeads ? one : two).startGracefulShutdown().get(PATIENCE_S, TimeUnit.SECONDS), "a graceful shutdown");
        Report.step("it has left");
        putSome();
        until("the records behind the take-over", PATIENCE_S, this::allRead);
        check(readings.failures().isEmpty(), readings.failures().toString());
        Report.step("taken over");
        check((twoLeads ? two : one).startGracefulShutdown().get(PATIENCE_S, TimeUnit.SECONDS), "a graceful shutdown");
        Report.step("done");
        report.line(fields("measure", "read_twice", "value", readings.twice()));
    }

    /**
     * A worker as the library's documentation shows it, with shorter intervals. It has started when this returns: two that
     * make the tables of the application at the same time get into each other's way.
     */
    private Scheduler worker(String name) throws Exception {
        var builder = KinesisAsyncClient.builder()
                .endpointOverride(URI.create(Report.ENDPOINT))
                .overrideConfiguration(c -> c.addExecutionInterceptor(report.hook("http/2")));
        KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(builder);
        var tracker = new SingleStreamTracker(stream, InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON));
        // The table of leases has the name of the application.
        var configs = new ConfigsBuilder(tracker, "app-" + stream, kinesis,
                DynamoDbAsyncClient.builder().endpointOverride(URI.create(told("MILLSTREAM_DYNAMODB"))).build(),
                CloudWatchAsyncClient.builder().endpointOverride(URI.create(told("MILLSTREAM_CLOUDWATCH"))).build(),
                "worker-" + name, () -> readings.processor(name));
        var retrieval = configs.retrievalConfig().retrievalSpecificConfig(fanOut
                ? new FanOutConfig(kinesis).streamName(stream).applicationName("app-" + stream)
                : new PollingConfig(stream, kinesis).idleTimeBetweenReadsInMillis(200));
        var leases = configs.leaseManagementConfig().failoverTimeMillis(3000).leaseAssignmentIntervalMillis(1500L).shardSyncIntervalMillis(3000);
        // Who has how many leases is to be a matter of their number, not of how busy this machine is.
        leases.leaseAssignmentStrategy(LeaseAssignmentStrategy.LEASE_COUNT_BASED);
        // A worker that has left is given shards until its last report is two such intervals old.
        leases.workerUtilizationAwareAssignmentConfig().workerMetricsReporterFreqInMillis(3000);
        var coordinator = configs.coordinatorConfig().parentShardPollIntervalMillis(500).shardConsumerDispatchPollIntervalMillis(200);
        CountDownLatch started = new CountDownLatch(1);
        coordinator.workerStateChangeListener(state -> {
            if (state == WorkerStateChangeListener.WorkerState.STARTED) {
                started.countDown();
            }
        });
        Scheduler scheduler = new Scheduler(configs.checkpointConfig(), coordinator, leases, configs.lifecycleConfig(), configs.metricsConfig(), configs.processorConfig(), retrieval);
        Thread thread = new Thread(scheduler, "worker-" + name);
        thread.setDaemon(true);
        thread.start();
        check(started.await(PATIENCE_S, TimeUnit.SECONDS), "worker " + name + " starts");
        return scheduler;
    }

    private void active() throws Exception {
        until("the stream is active", 60, () -> producer.describeStreamSummary(r -> r.streamName(stream)).join().streamDescriptionSummary().streamStatus() == StreamStatus.ACTIVE);
    }

    private List<Shard> open() {
        List<Shard> open = new ArrayList<>(producer.listShards(r -> r.streamName(stream)).join().shards());
        open.removeIf(shard -> shard.sequenceNumberRange().endingSequenceNumber() != null);
        open.sort((a, b) -> new BigInteger(a.hashKeyRange().startingHashKey()).compareTo(new BigInteger(b.hashKeyRange().startingHashKey())));
        return open;
    }

    /** Ten more records of each key, numbered. */
    private void putSome() throws Exception {
        active();
        List<PutRecordsRequestEntry> entries = new ArrayList<>();
        for (int i = 0; i < KEYS * 10; i++) {
            String key = "key-" + i % KEYS;
            int number = numbers.merge(key, 1, Integer::sum) - 1;
            entries.add(PutRecordsRequestEntry.builder().partitionKey(key).data(SdkBytes.fromUtf8String(key + " " + number)).build());
        }
        equal(producer.putRecords(r -> r.streamName(stream).records(entries)).join().failedRecordCount(), 0, "FailedRecordCount");
    }

    private boolean allRead() {
        check(readings.failures().isEmpty(), readings.failures().toString());
        return readings.next().equals(numbers);
    }
}
