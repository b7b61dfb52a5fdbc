package bench.flink;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Keeps each total and sends it on after every addition. */
final class SumTotals
        extends KeyedProcessFunction<String, Tuple2<String, long[]>, Tuple2<String, long[]>> {
    static final ValueStateDescriptor<long[]> TOTAL =
            new ValueStateDescriptor<>(
                    "total", PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO);

    private transient ValueState<long[]> total;

    @Override
    public void open(OpenContext context) {
        total = getRuntimeContext().getState(TOTAL);
    }

    @Override
    public void processElement(
            Tuple2<String, long[]> addition, Context context, Collector<Tuple2<String, long[]>> out)
            throws Exception {
        out.collect(new Tuple2<>(addition.f0, add(total, addition.f1)));
    }

    /** Adds `parts` to the total of the current key and returns it. */
    static long[] add(ValueState<long[]> total, long[] parts) throws Exception {
        long[] before = total.value();
        if (before != null) {
            Totals.add(parts, before);
        }
        if (Totals.isNothing(parts)) {
            total.clear();
        } else {
            total.update(parts);
        }
        return parts;
    }
}
