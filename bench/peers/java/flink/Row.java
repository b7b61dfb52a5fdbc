package bench.flink;

import java.io.IOException;
import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** The used fields of a time entry. Immutable. Decimals are scaled longs; too large ones fail. */
public final class Row {
    /** The row that is not there: what a null value says, and what a new row replaces. */
    public static final Row NONE = new Row("", "", "", 0, 0, 0, 0, false, false);

    final String project;
    final String resource;
    final String currency;
    final int day;
    final long hours;
    final long billRate;
    final long costRate;
    final boolean approved;
    final boolean billable;

    Row(
            String project,
            String resource,
            String currency,
            int day,
            long hours,
            long billRate,
            long costRate,
            boolean approved,
            boolean billable) {
        this.project = project;
        this.resource = resource;
        this.currency = currency;
        this.day = day;
        this.hours = hours;
        this.billRate = billRate;
        this.costRate = costRate;
        this.approved = approved;
        this.billable = billable;
    }

    /** Scale 6. */
    long revenue() {
        return billable ? Math.multiplyExact(hours, billRate) : 0;
    }

    /** Scale 6. */
    long cost() {
        return Math.multiplyExact(hours, costRate);
    }

    long billableHours() {
        return billable ? hours : 0;
    }

    /** By hand: less than half the bytes and time of Flink's POJO serializer. */
    public static final class Serializer extends TypeSerializerSingleton<Row> {
        public static final Serializer INSTANCE = new Serializer();
        private static final int PRESENT = 1;
        private static final int APPROVED = 2;
        private static final int BILLABLE = 4;

        @Override
        public void serialize(Row row, DataOutputView out) throws IOException {
            if (row == NONE) {
                out.writeByte(0);
                return;
            }
            out.writeByte(
                    PRESENT | (row.approved ? APPROVED : 0) | (row.billable ? BILLABLE : 0));
            out.writeUTF(row.project);
            out.writeUTF(row.resource);
            out.writeUTF(row.currency);
            out.writeInt(row.day);
            out.writeLong(row.hours);
            out.writeLong(row.billRate);
            out.writeLong(row.costRate);
        }

        @Override
        public Row deserialize(DataInputView in) throws IOException {
            int flags = in.readByte();
            if (flags == 0) {
                return NONE;
            }
            return new Row(
                    in.readUTF(),
                    in.readUTF(),
                    in.readUTF(),
                    in.readInt(),
                    in.readLong(),
                    in.readLong(),
                    in.readLong(),
                    (flags & APPROVED) != 0,
                    (flags & BILLABLE) != 0);
        }

        @Override
        public Row deserialize(Row reuse, DataInputView in) throws IOException {
            return deserialize(in);
        }

        @Override
        public void copy(DataInputView in, DataOutputView out) throws IOException {
            serialize(deserialize(in), out);
        }

        @Override
        public Row copy(Row row) {
            return row;
        }

        @Override
        public Row copy(Row row, Row reuse) {
            return row;
        }

        @Override
        public boolean isImmutableType() {
            return true;
        }

        @Override
        public Row createInstance() {
            return NONE;
        }

        @Override
        public int getLength() {
            return -1;
        }

        @Override
        public TypeSerializerSnapshot<Row> snapshotConfiguration() {
            return new Snapshot();
        }

        /** What a checkpoint remembers of the serializer. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Row> {
            public Snapshot() {
                super(() -> INSTANCE);
            }
        }
    }

    /** Tells Flink to use {@link Serializer}. */
    public static final class Type extends TypeInformation<Row> {
        @Override
        public TypeSerializer<Row> createSerializer(SerializerConfig config) {
            return Serializer.INSTANCE;
        }

        @Override
        public Class<Row> getTypeClass() {
            return Row.class;
        }

        @Override
        public boolean isBasicType() {
            return false;
        }

        @Override
        public boolean isTupleType() {
            return false;
        }

        @Override
        public boolean isKeyType() {
            return false;
        }

        @Override
        public int getArity() {
            return 1;
        }

        @Override
        public int getTotalFields() {
            return 1;
        }

        @Override
        public boolean canEqual(Object other) {
            return other instanceof Type;
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Type;
        }

        @Override
        public int hashCode() {
            return Type.class.hashCode();
        }

        @Override
        public String toString() {
            return "Row";
        }
    }
}
