package millstream;

import static millstream.Report.check;
import static millstream.Report.equal;
import static millstream.Report.fields;
import static millstream.Report.until;
import static millstream.Session.SHARD_ZERO;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.ConsumerStatus;
import software.amazon.awssdk.services.kinesis.model.ResourceInUseException;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEventStream;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/** Enhanced fan-out by the async client. */
final class Push {
    private final Session session;
    private final KinesisClient kinesis;

    Push(Session session) {
        this.session = session;
        this.kinesis = session.kinesis;
    }

    void overHttp2() throws Exception {
        fanOut("push-2", session.asyncClient(Report.ENDPOINT, "any", "any", Protocol.HTTP2));
    }

    void overHttp1() throws Exception {
        fanOut("push-1", session.asyncClient(Report.ENDPOINT, "any", "any", Protocol.HTTP1_1));
    }

    private void fanOut(String text, KinesisAsyncClient async) throws Exception {
        String name = session.create(text, 1);
        String arn = session.summary(name).streamARN();
        String consumer = kinesis.registerStreamConsumer(r -> r.streamARN(arn).consumerName("app")).consumer().consumerARN();
        until("the consumer is active", 30, () -> kinesis.describeStreamConsumer(r -> r.consumerARN(consumer)).consumerDescription().consumerStatus() == ConsumerStatus.ACTIVE);

        Events events = subscribe(async, consumer, ShardIteratorType.LATEST, null);
        List<Double> times = new ArrayList<>();
        SubscribeToShardEvent event = null;
        for (int i = 0; i < 20; i++) {
            long before = System.nanoTime();
            session.put(name, "push " + i);
            event = events.nextRecords();
            times.add((System.nanoTime() - before) / 1e6);
            equal(event.records().get(0).data().asUtf8String(), "push " + i, "the record pushed");
        }
        Collections.sort(times);
        session.report.line(fields("measure", "put_to_push_ms", "value", Math.round(times.get(10) * 1000) / 1000.0));
        events.close();

        session.put(name, "between");
        events = subscribe(async, consumer, ShardIteratorType.AFTER_SEQUENCE_NUMBER, event.continuationSequenceNumber());
        equal(events.nextRecords().records().get(0).data().asUtf8String(), "between", "the record behind the continuation");
        kinesis.splitShard(r -> r.streamName(name).shardToSplit(SHARD_ZERO).newStartingHashKey("170141183460469231731687303715884105728"));
        SubscribeToShardEvent last = null;
        for (SubscribeToShardEvent each = events.next(); each != null; each = events.next()) {
            check(each.hasChildShards() != (each.continuationSequenceNumber() != null), "a continuation or children: " + each);
            last = each;
        }
        equal(last.childShards().stream().map(c -> c.parentShards()).toList(), List.of(List.of(SHARD_ZERO), List.of(SHARD_ZERO)), "parents of the children");
        kinesis.deregisterStreamConsumer(r -> r.consumerARN(consumer));
        async.close();
    }

    /** Subscribes; waits out the 5 seconds for which the shard still belongs to an earlier call of the consumer. */
    private static Events subscribe(KinesisAsyncClient async, String consumer, ShardIteratorType kind, String number) throws Exception {
        Events[] got = new Events[1];
        until("a subscription", 15, () -> {
            Events events = new Events();
            var handler = SubscribeToShardResponseHandler.builder()
                    .onResponse(response -> events.answered.complete(null))
                    .onError(events::failed)
                    .subscriber(() -> events)
                    .build();
            async.subscribeToShard(r -> r.consumerARN(consumer).shardId(SHARD_ZERO).startingPosition(p -> p.type(kind).sequenceNumber(number)), handler);
            try {
                events.answered.get(30, TimeUnit.SECONDS);
            } catch (ExecutionException failure) {
                for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
                    if (cause instanceof ResourceInUseException) {
                        return false;
                    }
                }
                throw failure;
            }
            got[0] = events;
            return true;
        });
        return got[0];
    }

    /** The events of a subscription, asked for one by one. */
    private static final class Events implements Subscriber<SubscribeToShardEventStream> {
        final CompletableFuture<Void> answered = new CompletableFuture<>();
        private final LinkedBlockingQueue<Object> queue = new LinkedBlockingQueue<>();
        private static final Object END = new Object();
        private Subscription subscription;

        void failed(Throwable failure) {
            answered.completeExceptionally(failure);
            queue.add(failure);
        }

        @Override
        public void onSubscribe(Subscription subscription) {
            this.subscription = subscription;
            subscription.request(1);
        }

        @Override
        public void onNext(SubscribeToShardEventStream event) {
            if (event instanceof SubscribeToShardEvent) {
                queue.add(event);
            }
            subscription.request(1);
        }

        @Override
        public void onError(Throwable failure) {
            failed(failure);
        }

        @Override
        public void onComplete() {
            queue.add(END);
        }

        /** The next event; null at the end. */
        SubscribeToShardEvent next() throws Exception {
            Object next = queue.poll(30, TimeUnit.SECONDS);
            check(next != null, "an event in 30 s");
            if (next instanceof Throwable failure) {
                throw new ExecutionException(failure);
            }
            return next == END ? null : (SubscribeToShardEvent) next;
        }

        SubscribeToShardEvent nextRecords() throws Exception {
            while (true) {
                SubscribeToShardEvent event = next();
                check(event != null, "the subscription goes on");
                if (!event.records().isEmpty()) {
                    return event;
                }
            }
        }

        void close() {
            subscription.cancel();
        }
    }
}
