package bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.kafka.common.utils.Bytes;

/** What the totals need of a time entry, decoded straight from Avro without a generic record. */
record TimeEntry(
        byte[] framed,
        String project,
        String resource,
        int workOn,
        BigInteger hours,
        BigInteger billRate,
        BigInteger costRate,
        String currency,
        boolean approved,
        boolean billable) {

    /** Confluent framing: byte 0 and the schema id. */
    static final int HEADER = 5;

    private static final List<String> FIELDS = List.of(
            "id", "project_ref", "task_ref", "resource_id", "work_on", "hours", "seconds", "bill_rate",
            "cost_rate", "currency", "status", "is_billable");

    private static final Utf8 APPROVED = new Utf8("approved");

    /** Null for a deleted row. Rows with another schema fail. */
    static TimeEntry decode(byte[] framed) {
        if (framed == null) {
            return null;
        }
        Schemas.require(ByteBuffer.wrap(framed).getInt(1), schema -> Schemas.beginsWith(schema, FIELDS));
        Buffers buffers = BUFFERS.get();
        try {
            BinaryDecoder decoder = buffers.decoder = DecoderFactory.get().binaryDecoder(
                    framed, HEADER, framed.length - HEADER, buffers.decoder);
            skipText(decoder); // id
            String project = text(decoder, buffers);
            skipText(decoder); // task_ref
            String resource = text(decoder, buffers);
            int workOn = isNull(decoder) ? 0 : decoder.readInt();
            BigInteger hours = decimal(decoder, buffers);
            if (!isNull(decoder)) { // seconds: the same time again
                decoder.readLong();
            }
            BigInteger billRate = decimal(decoder, buffers);
            BigInteger costRate = decimal(decoder, buffers);
            String currency = text(decoder, buffers);
            boolean approved = !isNull(decoder)
                    && (buffers.text = decoder.readString(buffers.text)).equals(APPROVED);
            boolean billable = !isNull(decoder) && decoder.readBoolean();
            // The fields behind these are not needed, so nothing has to step over them.
            return new TimeEntry(
                    framed, project, resource, workOn, hours, billRate, costRate, currency, approved, billable);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    Bytes marginKey() {
        return bytes(project + '|' + Periods.month(workOn) + '|' + currency);
    }

    /** Hours, revenue, cost. */
    Amounts margin() {
        return new Amounts(hours, billable ? hours.multiply(billRate) : BigInteger.ZERO, hours.multiply(costRate));
    }

    Bytes utilizationKey() {
        return bytes(resource + '|' + Periods.week(workOn));
    }

    /** Billable hours, all hours. */
    Amounts utilization() {
        return new Amounts(billable ? hours : BigInteger.ZERO, hours);
    }

    private static Bytes bytes(String text) {
        return Bytes.wrap(text.getBytes(StandardCharsets.UTF_8));
    }

    /** Every field is a union of null and its type, in this order. */
    private static boolean isNull(BinaryDecoder decoder) throws IOException {
        return decoder.readIndex() == 0;
    }

    private static void skipText(BinaryDecoder decoder) throws IOException {
        if (!isNull(decoder)) {
            decoder.skipString();
        }
    }

    private static String text(BinaryDecoder decoder, Buffers buffers) throws IOException {
        if (isNull(decoder)) {
            return null;
        }
        buffers.text = decoder.readString(buffers.text);
        return buffers.text.toString();
    }

    private static BigInteger decimal(BinaryDecoder decoder, Buffers buffers) throws IOException {
        if (isNull(decoder)) {
            return BigInteger.ZERO;
        }
        ByteBuffer digits = buffers.digits = decoder.readBytes(buffers.digits);
        return new BigInteger(digits.array(), 0, digits.limit());
    }

    /** Decoding happens on all stream threads, so what it reuses belongs to the thread. */
    private static final ThreadLocal<Buffers> BUFFERS = ThreadLocal.withInitial(Buffers::new);

    private static final class Buffers {
        BinaryDecoder decoder;
        ByteBuffer digits;
        Utf8 text = new Utf8();
    }
}
