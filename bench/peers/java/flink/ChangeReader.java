package bench.flink;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * Reads row key and row from a record of the source topic.
 *
 * <p>Reads the Avro fields up to the last one used, in the order of time_entry.avsc, and builds no
 * object for those that are not used: a generic Avro reader spends most of its time on them.
 */
final class ChangeReader implements KafkaRecordDeserializationSchema<Tuple2<String, Row>> {
    static final TypeInformation<Tuple2<String, Row>> TYPE =
            Types.TUPLE(Types.STRING, new Row.Type());
    private static final int CONFLUENT_HEADER_BYTES = 5;
    private static final byte[] APPROVED = "approved".getBytes(StandardCharsets.UTF_8);

    private transient byte[] bytes;
    private transient int at;

    @Override
    public void deserialize(
            ConsumerRecord<byte[], byte[]> message, Collector<Tuple2<String, Row>> out) {
        String key = new String(message.key(), StandardCharsets.UTF_8);
        out.collect(new Tuple2<>(key, message.value() == null ? Row.NONE : row(message.value())));
    }

    @Override
    public TypeInformation<Tuple2<String, Row>> getProducedType() {
        return TYPE;
    }

    private Row row(byte[] value) {
        bytes = value;
        at = CONFLUENT_HEADER_BYTES;
        skipText(); // id
        String project = text();
        skipText(); // task_ref
        String resource = text();
        expectPresent();
        int day = Math.toIntExact(number());
        long hours = decimal();
        if (present()) { // seconds: the same time again
            number();
        }
        long billRate = decimal();
        long costRate = decimal();
        String currency = text();
        boolean approved = isApproved();
        expectPresent();
        boolean billable = bytes[at] != 0;
        return new Row(
                project, resource, currency, day, hours, billRate, costRate, approved, billable);
    }

    /** Avro's variable-length zigzag number. */
    private long number() {
        long raw = 0;
        for (int shift = 0; ; shift += 7) {
            byte part = bytes[at++];
            raw |= (long) (part & 0x7F) << shift;
            if (part >= 0) {
                return (raw >>> 1) ^ -(raw & 1);
            }
        }
    }

    /** Every field is a union of null (0) and its type (1). */
    private boolean present() {
        return number() == 1;
    }

    private void expectPresent() {
        if (!present()) {
            throw new IllegalStateException("a used field is null");
        }
    }

    private void skipText() {
        if (present()) {
            int length = (int) number();
            at += length;
        }
    }

    private String text() {
        expectPresent();
        int length = (int) number();
        String text = new String(bytes, at, length, StandardCharsets.UTF_8);
        at += length;
        return text;
    }

    private boolean isApproved() {
        expectPresent();
        int length = (int) number();
        boolean equal = Arrays.equals(bytes, at, at + length, APPROVED, 0, APPROVED.length);
        at += length;
        return equal;
    }

    /** Big-endian two's complement, unscaled. */
    private long decimal() {
        expectPresent();
        int length = (int) number();
        int start = at;
        at += length;
        if (length > Long.BYTES) {
            return new BigInteger(bytes, start, length).longValueExact();
        }
        long value = bytes[start];
        for (int i = start + 1; i < at; i++) {
            value = value << 8 | bytes[i] & 0xFF;
        }
        return value;
    }
}
