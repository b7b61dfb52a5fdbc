package bench;

import java.util.Locale;
import java.util.Properties;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/** A table of rows, and two aggregates of it that retract what a changed row added before. */
final class Totals {
    /** A null key leaves a row out of a group; its earlier version is subtracted all the same. */
    private static final KeyValue<Bytes, Amounts> NOTHING = KeyValue.pair(null, null);

    private Totals() {}

    static Topology topology(Properties config) {
        StreamsBuilder builder = new StreamsBuilder();
        String source = Job.text("SOURCE_TOPIC");
        String rowsTopic = Job.text("ROWS_TOPIC");
        if (!rowsTopic.equals(source)) {
            Envelopes.addTo(builder, source, rowsTopic);
        }
        Serde<TimeEntry> entries = Serdes.serdeFrom(
                (topic, entry) -> entry == null ? null : entry.framed(), (topic, framed) -> TimeEntry.decode(framed));
        // Optimised, the table has its topic as its changelog. A cache before it would not merge
        // changes, since those of one row lie far apart.
        KTable<Bytes, TimeEntry> rows = builder.table(
                rowsTopic,
                Consumed.with(Serdes.Bytes(), entries),
                Materialized.<Bytes, TimeEntry, KeyValueStore<Bytes, byte[]>>as("rows").withCachingDisabled());
        total(rows, "margin", 3, TimeEntry::marginKey, TimeEntry::margin);
        total(rows, "utilization", 2, TimeEntry::utilizationKey, TimeEntry::utilization);
        return builder.build(config);
    }

    /** The cache before the aggregate publishes, at each commit, every total that changed once. */
    private static void total(
            KTable<Bytes, TimeEntry> rows,
            String name,
            int count,
            Function<TimeEntry, Bytes> key,
            Function<TimeEntry, Amounts> amounts) {
        String setting = name.toUpperCase(Locale.ROOT);
        Serde<Amounts> serde = Amounts.serde(Job.number(setting + "_SCHEMA_ID"), count);
        rows.groupBy(
                        (row, entry) -> entry.approved()
                                ? KeyValue.pair(key.apply(entry), amounts.apply(entry))
                                : NOTHING,
                        Grouped.with(name, Serdes.Bytes(), serde))
                .aggregate(
                        () -> Amounts.zero(count),
                        (group, added, total) -> total.plus(added),
                        (group, removed, total) -> total.minus(removed),
                        Materialized.<Bytes, Amounts, KeyValueStore<Bytes, byte[]>>as(name + "-totals")
                                .withKeySerde(Serdes.Bytes())
                                .withValueSerde(serde))
                .toStream()
                .to(Job.text(setting + "_TOPIC"), Produced.with(Serdes.Bytes(), serde));
    }
}
