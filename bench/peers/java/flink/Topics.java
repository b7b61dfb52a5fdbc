package bench.flink;

import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.TransactionNamingStrategy;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;

/** Source and sinks, with the settings of their Kafka clients. */
final class Topics {
    private Topics() {}

    /** Large fetches and polls: every poll is a hand-over between two threads. */
    static Properties consumer() {
        Properties properties = new Properties();
        // A completed checkpoint commits its offsets to the group.
        properties.setProperty("commit.offsets.on.checkpoint", "true");
        properties.setProperty("max.poll.records", "5000");
        properties.setProperty("max.partition.fetch.bytes", "4194304");
        properties.setProperty("fetch.min.bytes", "65536");
        properties.setProperty("fetch.max.wait.ms", "100");
        properties.setProperty("receive.buffer.bytes", "1048576");
        return properties;
    }

    static Properties producer() {
        Properties properties = new Properties();
        // Longer than any outage of the job, shorter than the broker's maximum of 15 minutes.
        properties.setProperty("transaction.timeout.ms", "600000");
        // Nothing is seen before a checkpoint commits, so waiting for full batches costs nothing.
        properties.setProperty("linger.ms", "100");
        properties.setProperty("batch.size", "262144");
        properties.setProperty("buffer.memory", "67108864");
        return properties;
    }

    static KafkaSource<Tuple2<String, Row>> source() {
        return KafkaSource.<Tuple2<String, Row>>builder()
                .setBootstrapServers(Cluster.variable("BOOTSTRAP_SERVERS"))
                .setGroupId(Cluster.variable("GROUP"))
                .setTopics(Cluster.variable("SOURCE_TOPIC"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                // The job ends where the topic ends now. Without an end its last offsets would be
                // committed up to ten seconds late: an idle source does that between two polls.
                .setBounded(OffsetsInitializer.latest())
                .setProperties(consumer())
                .setDeserializer(new ChangeReader())
                .build();
    }

    /** A sink for `output`: "MARGIN" or "UTILIZATION". */
    static KafkaSink<Tuple2<String, long[]>> sink(String output) {
        int schemaId = Integer.parseInt(Cluster.variable(output + "_SCHEMA_ID"));
        return KafkaSink.<Tuple2<String, long[]>>builder()
                .setBootstrapServers(Cluster.variable("BOOTSTRAP_SERVERS"))
                .setKafkaProducerConfig(producer())
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(Cluster.variable("GROUP") + "-" + output)
                // A few ids used again and again, instead of one a checkpoint that is new to the
                // broker.
                .setTransactionNamingStrategy(TransactionNamingStrategy.POOLING)
                .setRecordSerializer(
                        KafkaRecordSerializationSchema.<Tuple2<String, long[]>>builder()
                                .setTopic(Cluster.variable(output + "_TOPIC"))
                                .setKeySerializationSchema(
                                        total -> total.f0.getBytes(StandardCharsets.UTF_8))
                                .setValueSerializationSchema(new TotalWriter(schemaId))
                                .build())
                .build();
    }
}
