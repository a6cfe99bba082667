package millstream;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.retrieval.KinesisClientRecord;

/**
 * What all workers of an application read: records "KEY NUMBER". Those of each key must come as 0, 1, 2, ...; one that comes
 * again, as they may when a shard changes hands, is counted; one that is left out or overtaken is a failure.
 */
final class Readings {
    private final Map<String, Integer> next = new TreeMap<>();
    private final Set<String> workers = new TreeSet<>();
    private final Set<String> ended = new TreeSet<>();
    private final List<String> failures = new ArrayList<>();
    private int twice;

    synchronized Map<String, Integer> next() {
        return new TreeMap<>(next);
    }

    synchronized Set<String> workers() {
        return new TreeSet<>(workers);
    }

    synchronized Set<String> ended() {
        return new TreeSet<>(ended);
    }

    synchronized List<String> failures() {
        return new ArrayList<>(failures);
    }

    synchronized int twice() {
        return twice;
    }

    private synchronized void began(String worker) {
        workers.add(worker);
    }

    private synchronized void end(String shard) {
        ended.add(shard);
    }

    private synchronized void fail(String failure) {
        failures.add(failure);
    }

    private synchronized void read(String shard, KinesisClientRecord record) {
        String[] parts = StandardCharsets.UTF_8.decode(record.data()).toString().split(" ");
        int number = Integer.parseInt(parts[1]);
        int expected = next.getOrDefault(parts[0], 0);
        if (number > expected) {
            failures.add(parts[0] + ": " + number + " came from " + shard + " where " + expected + " was due");
        } else if (number < expected) {
            twice++;
        } else {
            next.put(parts[0], number + 1);
        }
    }

    /** One for each shard that a worker reads. */
    ShardRecordProcessor processor(String worker) {
        return new ShardRecordProcessor() {
            private String shard;

            @Override
            public void initialize(InitializationInput input) {
                shard = input.shardId();
                began(worker);
            }

            @Override
            public void processRecords(ProcessRecordsInput input) {
                input.records().forEach(record -> read(shard, record));
                if (!input.records().isEmpty()) {
                    checkpoint(input.checkpointer());
                }
            }

            @Override
            public void leaseLost(LeaseLostInput input) {}

            @Override
            public void shardEnded(ShardEndedInput input) {
                checkpoint(input.checkpointer());
                end(shard);
            }

            @Override
            public void shutdownRequested(ShutdownRequestedInput input) {
                checkpoint(input.checkpointer());
            }
        };
    }

    private void checkpoint(RecordProcessorCheckpointer checkpointer) {
        try {
            checkpointer.checkpoint();
        } catch (ShutdownException gone) {
            // The shard went to another worker, which goes on from the checkpoint before.
        } catch (InvalidStateException failure) {
            fail(failure.toString());
        }
    }
}
