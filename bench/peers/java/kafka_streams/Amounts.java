package bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/**
 * Exact decimals without their scales: what a row adds to a total, and the total itself.
 *
 * <p>Unscaled integers need no scale arithmetic, and their bytes are what Avro calls a decimal.
 */
record Amounts(BigInteger... unscaled) {

    static Amounts zero(int count) {
        BigInteger[] zeros = new BigInteger[count];
        Arrays.fill(zeros, BigInteger.ZERO);
        return new Amounts(zeros);
    }

    Amounts plus(Amounts other) {
        BigInteger[] sums = new BigInteger[unscaled.length];
        for (int i = 0; i < sums.length; i++) {
            sums[i] = unscaled[i].add(other.unscaled[i]);
        }
        return new Amounts(sums);
    }

    Amounts minus(Amounts other) {
        BigInteger[] differences = new BigInteger[unscaled.length];
        for (int i = 0; i < differences.length; i++) {
            differences[i] = unscaled[i].subtract(other.unscaled[i]);
        }
        return new Amounts(differences);
    }

    /**
     * Avro in Confluent framing: records of {@code count} decimals and nothing else, which is what
     * both outputs are. Also used for state, so that what is stored is published as it is.
     */
    static Serde<Amounts> serde(int schemaId, int count) {
        Serializer<Amounts> serializer = (topic, amounts) -> amounts == null ? null : encode(schemaId, amounts);
        Deserializer<Amounts> deserializer = (topic, bytes) -> bytes == null ? null : decode(bytes, count);
        return Serdes.serdeFrom(serializer, deserializer);
    }

    private static byte[] encode(int schemaId, Amounts amounts) {
        Buffers buffers = BUFFERS.get();
        ByteArrayOutputStream out = buffers.out;
        out.reset();
        out.write(0);
        for (int shift = 24; shift >= 0; shift -= 8) {
            out.write(schemaId >>> shift);
        }
        try {
            BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(out, buffers.encoder);
            for (BigInteger amount : amounts.unscaled) {
                encoder.writeBytes(amount.toByteArray());
            }
            buffers.encoder = encoder;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return out.toByteArray();
    }

    private static Amounts decode(byte[] bytes, int count) {
        Buffers buffers = BUFFERS.get();
        BigInteger[] unscaled = new BigInteger[count];
        try {
            BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(
                    bytes, TimeEntry.HEADER, bytes.length - TimeEntry.HEADER, buffers.decoder);
            for (int i = 0; i < count; i++) {
                ByteBuffer digits = buffers.digits = decoder.readBytes(buffers.digits);
                unscaled[i] = new BigInteger(digits.array(), 0, digits.limit());
            }
            buffers.decoder = decoder;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return new Amounts(unscaled);
    }

    /** One serde serves all stream threads, so what it reuses belongs to the thread. */
    private static final ThreadLocal<Buffers> BUFFERS = ThreadLocal.withInitial(Buffers::new);

    private static final class Buffers {
        final ByteArrayOutputStream out = new ByteArrayOutputStream(64);
        BinaryEncoder encoder;
        BinaryDecoder decoder;
        ByteBuffer digits;
    }
}
