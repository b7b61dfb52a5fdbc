package bench;

import java.nio.file.Path;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** Runs the totals until it is told to end. */
public final class Main {
    private static final int STREAM_THREADS = 2;

    private Main() {}

    public static void main(String[] arguments) throws InterruptedException {
        Properties config = config();
        KafkaStreams streams = new KafkaStreams(Totals.topology(config), config);
        // The benchmark takes an end of the process for a failure, and must not time half of it.
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
        Thread.currentThread().join();
    }

    private static Properties config() {
        Properties config = new Properties();
        boolean isHurried = !Job.text("HOLD_MS").isEmpty();
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, Job.text("BOOTSTRAP_SERVERS"));
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, Job.text("GROUP"));
        config.put(StreamsConfig.STATE_DIR_CONFIG, Path.of(Job.text("FOLDER"), "state").toString());
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, STREAM_THREADS);
        // Lets the topic of the rows be their changelog.
        config.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        // A total is stored and published once a commit; the cache holds all that change between two.
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, isHurried ? Job.number("HOLD_MS") : 1_000);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        config.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, RocksTuning.class);
        // Throughput before latency, unless it is said otherwise: large fetches, large batches.
        config.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), isHurried ? 0 : 50);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        return config;
    }
}
