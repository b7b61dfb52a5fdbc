package bench.flink;

import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/** The work in SQL only. Argument: the state backend. */
public final class SqlJob {
    private static final Map<String, String> SETTINGS =
            Map.of(
                    "table.exec.mini-batch.enabled", Cluster.option("mini-batch", "true"),
                    "table.exec.mini-batch.allow-latency", Cluster.option("latency", "500ms"),
                    "table.exec.mini-batch.size", Cluster.option("size", "5000"),
                    "table.optimizer.agg-phase-strategy", Cluster.option("phases", "TWO_PHASE"),
                    // Both queries are to share one source and one table of rows.
                    "table.optimizer.reuse-optimize-block-with-digest-enabled", "true");

    private static final String ENTRIES =
            """
            CREATE TABLE entries (
              row_key STRING,
              project_ref STRING,
              resource_id STRING,
              work_on DATE,
              hours DECIMAL(9, 2),
              bill_rate DECIMAL(18, 4),
              cost_rate DECIMAL(18, 4),
              currency STRING,
              status STRING,
              is_billable BOOLEAN,
              PRIMARY KEY (row_key) NOT ENFORCED
            ) WITH (
              'connector' = 'upsert-kafka',
              'topic' = '%1$s',
              'properties.bootstrap.servers' = '%2$s',
              'properties.group.id' = '%3$s',
              'key.format' = 'raw',
              'value.format' = 'avro-confluent',
              'value.avro-confluent.url' = '%4$s',
              'value.fields-include' = 'EXCEPT_KEY',
              'scan.bounded.mode' = 'latest-offset',
              %5$s
            )
            """;

    private static final String APPROVED =
            """
            CREATE TEMPORARY VIEW approved AS
            SELECT
              project_ref || '|' || SUBSTRING(CAST(work_on AS STRING), 1, 7) || '|' || currency
                AS margin_key,
              resource_id || '|' || CAST(EXTRACT(ISOYEAR FROM work_on) AS STRING)
                || '-W' || LPAD(CAST(EXTRACT(WEEK FROM work_on) AS STRING), 2, '0')
                AS utilization_key,
              hours,
              CASE WHEN is_billable THEN hours ELSE 0.00 END AS billable_hours,
              CASE WHEN is_billable THEN hours * bill_rate ELSE 0.000000 END AS revenue,
              hours * cost_rate AS cost
            FROM entries
            WHERE status = 'approved'
            """;

    private static final String TOTAL =
            """
            CREATE TABLE %1$s (
              total_key STRING,
              %2$s,
              PRIMARY KEY (total_key) NOT ENFORCED
            ) WITH (
              'connector' = 'upsert-kafka',
              'topic' = '%3$s',
              'properties.bootstrap.servers' = '%4$s',
              'key.format' = 'raw',
              'value.format' = 'avro-confluent',
              'value.avro-confluent.url' = '%5$s',
              'value.avro-confluent.subject' = '%3$s-sql',
              'value.fields-include' = 'EXCEPT_KEY',
              'sink.delivery-guarantee' = 'exactly-once',
              'sink.transactional-id-prefix' = '%6$s-%1$s',
              'sink.transaction-naming-strategy' = 'pooling',
              %7$s
            )
            """;

    private static final String SUM_MARGIN =
            """
            INSERT INTO margin
            SELECT
              margin_key,
              CAST(SUM(hours) AS DECIMAL(18, 2)),
              SUM(revenue),
              SUM(cost)
            FROM approved
            GROUP BY margin_key
            """;

    private static final String SUM_UTILIZATION =
            """
            INSERT INTO utilization
            SELECT
              utilization_key,
              CAST(SUM(billable_hours) AS DECIMAL(18, 2)),
              CAST(SUM(hours) AS DECIMAL(18, 2))
            FROM approved
            GROUP BY utilization_key
            """;

    private SqlJob() {}

    public static void main(String[] arguments) throws Exception {
        StreamExecutionEnvironment environment = Cluster.environment(arguments[0]);
        StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
        SETTINGS.forEach(tables.getConfig()::set);
        tables.executeSql(
                ENTRIES.formatted(
                        Cluster.variable("SOURCE_TOPIC"),
                        Cluster.variable("BOOTSTRAP_SERVERS"),
                        Cluster.variable("GROUP"),
                        Cluster.variable("REGISTRY_URL"),
                        options(Topics.consumer())));
        tables.executeSql(APPROVED);
        createTotal(
                tables, "margin", "hours DECIMAL(18, 2), revenue DECIMAL(38, 6), cost DECIMAL(38, 6)");
        createTotal(
                tables, "utilization", "billable_hours DECIMAL(18, 2), total_hours DECIMAL(18, 2)");
        StatementSet statements = tables.createStatementSet();
        statements.addInsertSql(SUM_MARGIN);
        statements.addInsertSql(SUM_UTILIZATION);
        if (Boolean.getBoolean("flink.explain")) {
            System.err.println(statements.explain());
        }
        statements.execute().await();
    }

    private static void createTotal(StreamTableEnvironment tables, String name, String columns) {
        tables.executeSql(
                TOTAL.formatted(
                        name,
                        columns,
                        Cluster.variable(name.toUpperCase() + "_TOPIC"),
                        Cluster.variable("BOOTSTRAP_SERVERS"),
                        Cluster.variable("REGISTRY_URL"),
                        Cluster.variable("GROUP"),
                        options(Topics.producer())));
    }

    /** Kafka client settings as options of a table. */
    private static String options(Properties properties) {
        return properties.entrySet().stream()
                .map(each -> "'properties.%s' = '%s'".formatted(each.getKey(), each.getValue()))
                .collect(Collectors.joining(",\n  "));
    }
}
