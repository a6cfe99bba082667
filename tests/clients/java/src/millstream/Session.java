package millstream;

import static millstream.Report.SCHEME;
import static millstream.Report.check;
import static millstream.Report.equal;
import static millstream.Report.told;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.waiters.WaiterOverrideConfiguration;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.GetRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.KinesisException;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StreamDescriptionSummary;
import software.amazon.awssdk.services.kinesis.waiters.KinesisWaiter;

/** A client, and the few steps that all cases take. The cases see one interface, whichever client is behind it. */
final class Session {
    static final String SHARD_ZERO = "shardId-000000000000";
    static final String SHARD_ONE = "shardId-000000000001";

    final Report report;
    final boolean async;
    final KinesisClient kinesis;

    Session(Report report, boolean async) {
        this.report = report;
        this.async = async;
        this.kinesis = client(Report.ENDPOINT, "any", "any");
    }

    /** An ordinary client: the sync one, or the async one behind the interface of the sync one. */
    KinesisClient client(String endpoint, String key, String secret) {
        if (async) {
            return joined(asyncClient(endpoint, key, secret, Protocol.HTTP2));
        }
        return KinesisClient.builder()
                .endpointOverride(URI.create(endpoint))
                .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create(key, secret)))
                .httpClientBuilder(UrlConnectionHttpClient.builder())
                .overrideConfiguration(c -> c.addExecutionInterceptor(report.hook("http/1.1")))
                .build();
    }

    KinesisAsyncClient asyncClient(String endpoint, String key, String secret, Protocol protocol) {
        var builder = KinesisAsyncClient.builder()
                .endpointOverride(URI.create(endpoint))
                .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create(key, secret)))
                .overrideConfiguration(c -> c.addExecutionInterceptor(report.hook(protocol == Protocol.HTTP2 ? "http/2" : "http/1.1")));
        // HTTP/2 is what the client takes by itself.
        if (protocol != Protocol.HTTP2) {
            builder.httpClientBuilder(NettyNioAsyncHttpClient.builder().protocol(protocol));
        }
        return builder.build();
    }

    private static KinesisClient joined(KinesisAsyncClient client) {
        return (KinesisClient) Proxy.newProxyInstance(KinesisClient.class.getClassLoader(), new Class<?>[] {KinesisClient.class}, (proxy, method, arguments) -> {
            var same = KinesisAsyncClient.class.getMethod(method.getName(), method.getParameterTypes());
            try {
                Object answer = same.invoke(client, arguments);
                return answer instanceof CompletableFuture<?> future ? future.join() : answer;
            } catch (InvocationTargetException failure) {
                throw failure.getCause();
            } catch (CompletionException failure) {
                throw failure.getCause();
            }
        });
    }

    String named(String text) {
        return "java-" + (async ? "async-" : "sync-") + SCHEME + "-" + text;
    }

    String create(String text, int shards) {
        String name = named(text);
        kinesis.createStream(r -> r.streamName(name).shardCount(shards));
        active(kinesis, name);
        return name;
    }

    void active(KinesisClient by, String name) {
        waiter(by).waitUntilStreamExists(r -> r.streamName(name));
    }

    static KinesisWaiter waiter(KinesisClient by) {
        var patience = WaiterOverrideConfiguration.builder().waitTimeout(Duration.ofSeconds(60));
        return KinesisWaiter.builder().client(by).overrideConfiguration(patience
                .backoffStrategyV2(software.amazon.awssdk.retries.api.BackoffStrategy.fixedDelay(Duration.ofSeconds(1))).maxAttempts(60).build()).build();
    }

    StreamDescriptionSummary summary(String name) {
        return kinesis.describeStreamSummary(r -> r.streamName(name)).streamDescriptionSummary();
    }

    String put(String name, String data) {
        return kinesis.putRecord(r -> r.streamName(name).partitionKey("k").explicitHashKey("0").data(SdkBytes.fromUtf8String(data))).sequenceNumber();
    }

    String iterator(String name, String shard, ShardIteratorType kind) {
        return kinesis.getShardIterator(r -> r.streamName(name).shardId(shard).shardIteratorType(kind)).shardIterator();
    }

    /** All records from an iterator to the tip or to the end of the shard; the last answer goes to `last`. */
    List<Record> read(String position, List<GetRecordsResponse> last) {
        List<Record> records = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            String at = position;
            GetRecordsResponse page = kinesis.getRecords(r -> r.shardIterator(at).limit(100));
            records.addAll(page.records());
            position = page.nextShardIterator();
            if (position == null || (page.records().isEmpty() && page.millisBehindLatest() == 0)) {
                last.add(page);
                return records;
            }
        }
        throw new AssertionError("no end after " + records.size() + " records");
    }

    List<Record> read(String position) {
        return read(position, new ArrayList<>());
    }

    /** Asserts that a call fails with this error, as the class that the SDK has for it. */
    static void fails(Class<? extends KinesisException> type, String code, Report.Case call) throws Exception {
        try {
            call.run();
        } catch (KinesisException error) {
            equal(error.awsErrorDetails().errorCode(), code, "the code of " + error);
            check(type.isInstance(error), error + " is a " + type);
            equal(error.statusCode(), 400, "status");
            check(error.requestId() != null, "a request id");
            return;
        }
        throw new AssertionError("expected " + code);
    }

    /** A command of the node's own. */
    static void millstream(String... words) throws Exception {
        List<String> command = new ArrayList<>(List.of(told("MILLSTREAM_BINARY")));
        command.addAll(List.of(words));
        command.addAll(List.of("--node", told("MILLSTREAM_NODE")));
        equal(new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor(), 0, command.toString());
    }
}
