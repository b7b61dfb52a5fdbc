package bench.flink;

import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** The job's environment variables, and a local Flink cluster tuned for two cores. */
final class Cluster {
    static final int PARALLELISM = 2;

    private Cluster() {}

    static String variable(String name) {
        String value = System.getenv("BENCH_" + name);
        if (value == null) {
            throw new IllegalStateException("BENCH_" + name + " is not set");
        }
        return value;
    }

    /** For trying other settings by hand: JAVA_TOOL_OPTIONS=-Dflink.interval=2s. */
    static String option(String name, String otherwise) {
        return System.getProperty("flink." + name, otherwise);
    }

    static StreamExecutionEnvironment environment(String stateBackend) {
        Path folder = Path.of(variable("FOLDER"));
        Configuration config = new Configuration();
        config.setString("parallelism.default", String.valueOf(PARALLELISM));
        config.setString("taskmanager.numberOfTaskSlots", String.valueOf(PARALLELISM));
        config.setString("pipeline.object-reuse", "true");
        // Kryo, which any unknown type falls back to, would be slow: let it be an error.
        config.setString("pipeline.generic-types", "false");

        config.setString("execution.checkpointing.interval", option("interval", "1s"));
        config.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        config.setString("execution.checkpointing.storage", "filesystem");
        config.setString(
                "execution.checkpointing.dir", folder.resolve("checkpoints").toUri().toString());
        config.setString("execution.checkpointing.incremental", "true");
        // A job that has failed or was killed can go on from here.
        config.setString(
                "execution.checkpointing.externalized-checkpoint-retention",
                "RETAIN_ON_CANCELLATION");
        if (!option("restore", "").isEmpty()) {
            config.setString("execution.state-recovery.path", option("restore", ""));
        }

        config.setString("state.backend.type", stateBackend);
        config.setString("state.backend.rocksdb.localdir", folder.resolve("rocksdb").toString());
        config.setString("taskmanager.memory.managed.size", option("managed", "1g"));
        // Most changes look up a key that is not there yet, or was last seen long ago.
        config.setString("state.backend.rocksdb.use-bloom-filter", "true");
        config.setString("state.backend.rocksdb.thread.num", "2");
        config.setString("io.tmp.dirs", folder.resolve("tmp").toString());

        config.setString("taskmanager.memory.network.min", "64m");
        config.setString("taskmanager.memory.network.max", "64m");
        // A failure is to be seen, not to be hidden in a longer time.
        config.setString("restart-strategy.type", "disable");
        for (String address :
                new String[] {
                    "rest.address",
                    "rest.bind-address",
                    "jobmanager.bind-host",
                    "taskmanager.bind-host"
                }) {
            config.setString(address, "127.0.0.1");
        }
        config.setString("rest.bind-port", "0");
        return StreamExecutionEnvironment.createLocalEnvironment(PARALLELISM, config);
    }
}
