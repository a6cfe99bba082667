package millstream;

import static millstream.Report.check;
import static millstream.Report.equal;
import static millstream.Report.until;
import static millstream.Session.SHARD_ZERO;
import static millstream.Session.fails;

import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.ConsumerStatus;
import software.amazon.awssdk.services.kinesis.model.EncryptionType;
import software.amazon.awssdk.services.kinesis.model.MetricsName;
import software.amazon.awssdk.services.kinesis.model.MinimumThroughputBillingCommitmentInputStatus;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StreamMode;

/** The operations that fewer programs use. */
final class Others {
    private final Session session;
    private final KinesisClient kinesis;

    Others(Session session) {
        this.session = session;
        this.kinesis = session.kinesis;
    }

    void run() throws Exception {
        String name = session.create("others", 1);
        String arn = session.summary(name).streamARN();
        String policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"123456789012\"},\"Action\":\"kinesis:GetRecords\",\"Resource\":\"" + arn + "\"}]}";
        kinesis.putResourcePolicy(r -> r.resourceARN(arn).policy(policy));
        check(kinesis.getResourcePolicy(r -> r.resourceARN(arn)).policy().contains("kinesis:GetRecords"), "the policy");
        kinesis.deleteResourcePolicy(r -> r.resourceARN(arn));
        fails(ResourceNotFoundException.class, "ResourceNotFoundException", () -> kinesis.deleteResourcePolicy(r -> r.resourceARN(arn)));

        kinesis.startStreamEncryption(r -> r.streamName(name).encryptionType(EncryptionType.KMS).keyId("alias/aws/kinesis"));
        session.active(kinesis, name);
        equal(session.summary(name).encryptionType(), EncryptionType.KMS, "EncryptionType");
        kinesis.stopStreamEncryption(r -> r.streamName(name).encryptionType(EncryptionType.KMS).keyId("alias/aws/kinesis"));
        session.active(kinesis, name);
        var on = kinesis.enableEnhancedMonitoring(r -> r.streamName(name).shardLevelMetrics(MetricsName.INCOMING_BYTES));
        equal(on.desiredShardLevelMetrics().size(), 1, "metrics");
        kinesis.disableEnhancedMonitoring(r -> r.streamName(name).shardLevelMetrics(MetricsName.INCOMING_BYTES));
        kinesis.updateMaxRecordSize(r -> r.streamARN(arn).maxRecordSizeInKiB(4096));
        byte[] large = new byte[3_000_000];
        kinesis.putRecord(r -> r.streamName(name).partitionKey("k").data(SdkBytes.fromByteArray(large)));
        equal(session.read(session.iterator(name, SHARD_ZERO, ShardIteratorType.TRIM_HORIZON)).get(0).data().asByteArrayUnsafe().length, large.length, "a large record");

        check(kinesis.describeLimits().openShardCount() > 0, "OpenShardCount");
        kinesis.updateAccountSettings(r -> r.minimumThroughputBillingCommitment(c -> c.status(MinimumThroughputBillingCommitmentInputStatus.ENABLED)));
        check(kinesis.describeAccountSettings(r -> {}).minimumThroughputBillingCommitment() != null, "the commitment");
        kinesis.updateStreamMode(r -> r.streamARN(arn).streamModeDetails(m -> m.streamMode(StreamMode.ON_DEMAND)));
        session.active(kinesis, name);
        equal(kinesis.updateStreamWarmThroughput(r -> r.streamARN(arn).warmThroughputMiBps(8)).warmThroughput().targetMiBps(), 8, "TargetMiBps");
        session.active(kinesis, name);
        kinesis.updateStreamRecordDistributionStrategy(r -> r.streamARN(arn).recordDistributionStrategy("AUTO"));

        var consumer = kinesis.registerStreamConsumer(r -> r.streamARN(arn).consumerName("app")).consumer();
        until("the consumer is active", 30, () -> kinesis.describeStreamConsumer(r -> r.consumerARN(consumer.consumerARN())).consumerDescription().consumerStatus() == ConsumerStatus.ACTIVE);
        equal(kinesis.listStreamConsumers(r -> r.streamARN(arn)).consumers().size(), 1, "consumers");
        kinesis.deregisterStreamConsumer(r -> r.streamARN(arn).consumerName("app"));
    }
}
