package bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/**
 * The first half of work B: rows of the database, as Debezium sends them, to canonical time entries.
 *
 * <p>Reads and writes Avro field by field: most of an envelope is not needed.
 */
final class Envelopes {
    private static final String ID = "inhouse:time_entry:";
    private static final String PROJECT = "inhouse:project:";
    private static final String TASK = "inhouse:task:";
    /** Of a hundredth of an hour. */
    private static final int SECONDS = 36;

    private static final int SECONDS_OF_MINUTE = 60;
    private static final int HOURS_SCALE = 2;
    private static final int RATE_SCALE = 4;

    private static final List<String> ENVELOPE = List.of("before", "after", "source");
    private static final List<String> ROW = List.of(
            "id", "project_id", "task_id", "worker_email", "work_on", "hours", "minutes", "is_billable",
            "status", "bill_rate", "cost_rate", "currency", "notes", "updated_at");
    private static final List<String> SOURCE = List.of(
            "version", "connector", "name", "ts_ms", "snapshot", "db", "sequence", "ts_us", "ts_ns", "schema",
            "table", "txId", "lsn");

    private static final ThreadLocal<Envelopes> OF_THREAD = ThreadLocal.withInitial(Envelopes::new);

    private final int canonicalSchemaId = Job.number("ROWS_SCHEMA_ID");
    private final ByteArrayOutputStream out = new ByteArrayOutputStream(512);
    private final Row row = new Row();
    private BinaryDecoder decoder;
    private BinaryEncoder encoder;

    private Envelopes() {}

    static void addTo(StreamsBuilder builder, String envelopes, String rows) {
        // Schemas are checked by the first record; the key {id: long} has no field to mistake.
        builder.stream(envelopes, Consumed.with(Serdes.Bytes(), Serdes.ByteArray()))
                .map((key, envelope) -> OF_THREAD.get().canonical(key.get(), envelope))
                .to(rows, Produced.with(Serdes.Bytes(), Serdes.ByteArray()));
    }

    /** No value if the row is gone: Debezium says so with an envelope, a tombstone, or both. */
    private KeyValue<Bytes, byte[]> canonical(byte[] key, byte[] envelope) {
        try {
            decoder = DecoderFactory.get().binaryDecoder(
                    key, TimeEntry.HEADER, key.length - TimeEntry.HEADER, decoder);
            String id = ID + decoder.readLong();
            Bytes newKey = Bytes.wrap(id.getBytes(StandardCharsets.UTF_8));
            boolean isThere = envelope != null && read(envelope);
            return KeyValue.pair(newKey, isThere ? write(id) : null);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Reads what is behind the change; false if nothing is. */
    private boolean read(byte[] envelope) throws IOException {
        Schemas.require(ByteBuffer.wrap(envelope).getInt(1), Envelopes::isEnvelope);
        decoder = DecoderFactory.get().binaryDecoder(
                envelope, TimeEntry.HEADER, envelope.length - TimeEntry.HEADER, decoder);
        if (!isFirst()) { // before
            row.read();
        }
        if (isFirst()) { // after
            return false;
        }
        row.read();
        decoder.skipString(); // version
        decoder.skipString(); // connector
        decoder.skipString(); // name
        row.changedAt = decoder.readLong();
        if (isFirst()) { // snapshot: here the text comes before null
            decoder.skipString();
        }
        decoder.skipString(); // db
        if (!isFirst()) { // sequence
            decoder.skipString();
        }
        skipLong(); // ts_us
        skipLong(); // ts_ns
        decoder.skipString(); // schema
        decoder.skipString(); // table
        skipLong(); // txId
        row.hasPosition = !isFirst();
        row.position = row.hasPosition ? decoder.readLong() : 0;
        return true;
    }

    /** Unions are of null and a type, in this order unless noted. */
    private boolean isFirst() throws IOException {
        return decoder.readIndex() == 0;
    }

    private void skipLong() throws IOException {
        if (!isFirst()) {
            decoder.readLong();
        }
    }

    private byte[] write(String id) throws IOException {
        out.reset();
        out.write(0);
        for (int shift = 24; shift >= 0; shift -= 8) {
            out.write(canonicalSchemaId >>> shift);
        }
        encoder = EncoderFactory.get().directBinaryEncoder(out, encoder);
        writeText(id);
        writeText(PROJECT + row.project);
        writeText(row.hasTask ? TASK + row.task : null);
        writeUtf8(row.worker, true);
        encoder.writeIndex(1);
        encoder.writeInt(row.workOn);
        writeDecimal(row.hours, true);
        encoder.writeIndex(1);
        encoder.writeLong(row.hasMinutes ? (long) SECONDS_OF_MINUTE * row.minutes : SECONDS * row.hours);
        writeDecimal(row.billRate, row.hasBillRate);
        writeDecimal(row.costRate, row.hasCostRate);
        writeUtf8(row.currency, row.hasCurrency);
        writeUtf8(row.status, true);
        encoder.writeIndex(1);
        encoder.writeBoolean(row.billable);
        writeUtf8(row.notes, row.hasNotes);
        encoder.writeIndex(row.hasPosition ? 1 : 0);
        if (row.hasPosition) {
            encoder.writeLong(row.position);
        }
        encoder.writeIndex(1);
        encoder.writeLong(row.changedAt);
        writeText(id); // correlation_id: nothing else led to the row
        return out.toByteArray();
    }

    private void writeText(String text) throws IOException {
        encoder.writeIndex(text == null ? 0 : 1);
        if (text != null) {
            encoder.writeString(text);
        }
    }

    private void writeUtf8(Utf8 text, boolean isThere) throws IOException {
        encoder.writeIndex(isThere ? 1 : 0);
        if (isThere) {
            encoder.writeString(text);
        }
    }

    /** Returns a number written as text in units of its last digit. Digits behind the scale fail. */
    private static long unscaled(Utf8 text, int scale) {
        byte[] bytes = text.getBytes();
        int end = text.getByteLength();
        boolean isNegative = bytes[0] == '-';
        long value = 0;
        int decimals = -1; // -1 before the point
        for (int at = isNegative ? 1 : 0; at < end; at++) {
            byte each = bytes[at];
            if (each == '.' && decimals < 0) {
                decimals = 0;
            } else if (each < '0' || each > '9' || decimals == scale) {
                throw new NumberFormatException(text + " is no number of " + scale + " decimals");
            } else {
                value = Math.addExact(Math.multiplyExact(value, 10L), each - '0');
                decimals += decimals < 0 ? 0 : 1;
            }
        }
        for (int missing = scale - Math.max(decimals, 0); missing > 0; missing--) {
            value = Math.multiplyExact(value, 10L);
        }
        return isNegative ? -value : value;
    }

    private void writeDecimal(long unscaled, boolean isThere) throws IOException {
        encoder.writeIndex(isThere ? 1 : 0);
        if (isThere) {
            encoder.writeBytes(BigInteger.valueOf(unscaled).toByteArray());
        }
    }

    private static boolean isEnvelope(Schema schema) {
        return Schemas.beginsWith(schema, ENVELOPE)
                && Schemas.beginsWith(schema.getField("before").schema().getTypes().get(1), ROW)
                && Schemas.beginsWith(schema.getField("source").schema(), SOURCE);
    }

    /** A row of the database. Its texts are overwritten by the next one. */
    private final class Row {
        long project;
        boolean hasTask;
        long task;
        Utf8 worker = new Utf8();
        int workOn;
        long hours;
        boolean hasMinutes;
        int minutes;
        boolean billable;
        Utf8 status = new Utf8();
        boolean hasBillRate;
        long billRate;
        boolean hasCostRate;
        long costRate;
        boolean hasCurrency;
        Utf8 currency = new Utf8();
        boolean hasNotes;
        Utf8 notes = new Utf8();
        boolean hasPosition;
        long position;
        long changedAt;
        private Utf8 text = new Utf8();

        void read() throws IOException {
            decoder.readLong(); // id, known from the key
            project = decoder.readLong();
            hasTask = !isFirst();
            task = hasTask ? decoder.readLong() : 0;
            worker = decoder.readString(worker);
            workOn = decoder.readInt();
            hours = decimal(HOURS_SCALE);
            hasMinutes = !isFirst();
            minutes = hasMinutes ? decoder.readInt() : 0;
            billable = decoder.readBoolean();
            status = decoder.readString(status);
            hasBillRate = !isFirst();
            billRate = hasBillRate ? decimal(RATE_SCALE) : 0;
            hasCostRate = !isFirst();
            costRate = hasCostRate ? decimal(RATE_SCALE) : 0;
            hasCurrency = !isFirst();
            currency = hasCurrency ? decoder.readString(currency) : currency;
            hasNotes = !isFirst();
            notes = hasNotes ? decoder.readString(notes) : notes;
            decoder.skipString(); // updated_at
        }

        private long decimal(int scale) throws IOException {
            text = decoder.readString(text);
            return unscaled(text, scale);
        }
    }
}
