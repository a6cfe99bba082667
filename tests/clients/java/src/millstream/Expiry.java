package millstream;

import static millstream.Report.equal;
import static millstream.Report.told;
import static millstream.Session.SHARD_ZERO;
import static millstream.Session.fails;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.ExpiredIteratorException;
import software.amazon.awssdk.services.kinesis.model.ExpiredNextTokenException;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;

/** An iterator and tokens that grow older than the 5 minutes that they live. */
final class Expiry {
    private final Session session;

    Expiry(Session session) {
        this.session = session;
    }

    void run() throws Exception {
        KinesisClient by = session.client(told("MILLSTREAM_CLOCKED_ENDPOINT"), "any", "any");
        String name = session.named("expiry");
        by.createStream(r -> r.streamName(name).shardCount(2));
        session.active(by, name);
        String arn = by.describeStreamSummary(r -> r.streamName(name)).streamDescriptionSummary().streamARN();
        for (String consumer : List.of("one", "two")) {
            by.registerStreamConsumer(r -> r.streamARN(arn).consumerName(consumer));
        }
        by.putRecord(r -> r.streamName(name).partitionKey("k").explicitHashKey("0").data(SdkBytes.fromUtf8String("x")));
        String position = by.getShardIterator(r -> r.streamName(name).shardId(SHARD_ZERO).shardIteratorType(ShardIteratorType.TRIM_HORIZON)).shardIterator();
        String shards = by.listShards(r -> r.streamName(name).maxResults(1)).nextToken();
        String consumers = by.listStreamConsumers(r -> r.streamARN(arn).maxResults(1)).nextToken();

        setClock("+240s");
        var page = by.getRecords(r -> r.shardIterator(position));
        equal(page.records().size(), 1, "records after 4 minutes");
        equal(by.listShards(r -> r.nextToken(shards)).shards().size(), 1, "shards of the second page after 4 minutes");
        equal(by.listStreamConsumers(r -> r.streamARN(arn).nextToken(consumers)).consumers().size(), 1, "consumers of the second page after 4 minutes");
        setClock("+301s");
        fails(ExpiredIteratorException.class, "ExpiredIteratorException", () -> by.getRecords(r -> r.shardIterator(position)));
        fails(ExpiredNextTokenException.class, "ExpiredNextTokenException", () -> by.listShards(r -> r.nextToken(shards)));
        fails(ExpiredNextTokenException.class, "ExpiredNextTokenException", () -> by.listStreamConsumers(r -> r.streamARN(arn).nextToken(consumers)));
        equal(by.getRecords(r -> r.shardIterator(page.nextShardIterator())).records().size(), 0, "records by the iterator that the first one was traded for");
    }

    /** Moves the clock of the node that is there for this, to `+301s` ahead of the true time for example. */
    private static void setClock(String ahead) throws IOException {
        Path clock = Path.of(told("MILLSTREAM_CLOCK_FILE"));
        Path next = Path.of(clock + ".new");
        Files.writeString(next, ahead);
        // The node reads the file whenever it asks for the time: never half of it.
        Files.move(next, clock, StandardCopyOption.ATOMIC_MOVE);
    }
}
