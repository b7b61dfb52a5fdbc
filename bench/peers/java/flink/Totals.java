package bench.flink;

import java.io.Serializable;
import java.time.LocalDate;
import java.time.temporal.IsoFields;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;

/** What a changed row takes from its old totals and adds to its new ones. */
final class Totals implements Serializable {
    /** A total's key with its parts, or with what is added to each part. */
    static final TypeInformation<Tuple2<String, long[]>> TYPE =
            Types.TUPLE(Types.STRING, PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO);

    /** Takes what is added to the parts of the total `key`. Owns `parts` from then on. */
    interface Receiver {
        void add(String key, long[] parts);
    }

    // Formatting a date costs more than all the rest of a change, and there are few days.
    private final Map<Integer, String> months = new HashMap<>();
    private final Map<Integer, String> weeks = new HashMap<>();

    /** A change within one total is one addition, and none at all if it changes nothing. */
    void change(Row before, Row after, Receiver margin, Receiver utilization) {
        change(
                before.approved ? marginKey(before) : null,
                before.approved ? marginParts(before) : null,
                after.approved ? marginKey(after) : null,
                after.approved ? marginParts(after) : null,
                margin);
        change(
                before.approved ? utilizationKey(before) : null,
                before.approved ? utilizationParts(before) : null,
                after.approved ? utilizationKey(after) : null,
                after.approved ? utilizationParts(after) : null,
                utilization);
    }

    static boolean isNothing(long[] parts) {
        for (long part : parts) {
            if (part != 0) {
                return false;
            }
        }
        return true;
    }

    static void add(long[] sum, long[] parts) {
        for (int i = 0; i < sum.length; i++) {
            sum[i] = Math.addExact(sum[i], parts[i]);
        }
    }

    static void merge(Map<String, long[]> sums, String key, long[] parts) {
        long[] sum = sums.putIfAbsent(key, parts);
        if (sum != null) {
            add(sum, parts);
        }
    }

    private static void change(
            String oldKey, long[] oldParts, String newKey, long[] newParts, Receiver receiver) {
        if (oldKey != null) {
            for (int i = 0; i < oldParts.length; i++) {
                oldParts[i] = -oldParts[i];
            }
            if (oldKey.equals(newKey)) {
                add(newParts, oldParts);
            } else {
                send(oldKey, oldParts, receiver);
            }
        }
        if (newKey != null) {
            send(newKey, newParts, receiver);
        }
    }

    private static void send(String key, long[] parts, Receiver receiver) {
        if (!isNothing(parts)) {
            receiver.add(key, parts);
        }
    }

    private String marginKey(Row row) {
        return row.project + '|' + months.computeIfAbsent(row.day, Totals::month) + '|'
                + row.currency;
    }

    private static long[] marginParts(Row row) {
        return new long[] {row.hours, row.revenue(), row.cost()};
    }

    private String utilizationKey(Row row) {
        return row.resource + '|' + weeks.computeIfAbsent(row.day, Totals::week);
    }

    private static long[] utilizationParts(Row row) {
        return new long[] {row.billableHours(), row.hours};
    }

    private static String month(int day) {
        LocalDate date = LocalDate.ofEpochDay(day);
        return String.format("%04d-%02d", date.getYear(), date.getMonthValue());
    }

    private static String week(int day) {
        LocalDate date = LocalDate.ofEpochDay(day);
        return String.format(
                "%04d-W%02d",
                date.get(IsoFields.WEEK_BASED_YEAR), date.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR));
    }
}
