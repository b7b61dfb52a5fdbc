package bench.flink;

import java.nio.ByteBuffer;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.java.tuple.Tuple2;

/** Writes a total as Avro, each part a decimal; a total of nothing as a null value. */
final class TotalWriter implements SerializationSchema<Tuple2<String, long[]>> {
    private final int schemaId;

    TotalWriter(int schemaId) {
        this.schemaId = schemaId;
    }

    @Override
    public byte[] serialize(Tuple2<String, long[]> total) {
        return Totals.isNothing(total.f1) ? null : avro(total.f1);
    }

    private byte[] avro(long[] parts) {
        int size = 1 + Integer.BYTES;
        for (long part : parts) {
            size += 1 + decimalBytes(part);
        }
        ByteBuffer out = ByteBuffer.allocate(size).put((byte) 0).putInt(schemaId);
        for (long part : parts) {
            int length = decimalBytes(part);
            out.put((byte) (length << 1)); // zigzag; one byte, as no length is above eight
            for (int shift = (length - 1) * 8; shift >= 0; shift -= 8) {
                out.put((byte) (part >> shift));
            }
        }
        return out.array();
    }

    /** Fewest bytes that hold `part` and its sign. */
    private static int decimalBytes(long part) {
        int bits = Long.SIZE - Long.numberOfLeadingZeros(part < 0 ? ~part : part);
        return bits / 8 + 1;
    }
}
