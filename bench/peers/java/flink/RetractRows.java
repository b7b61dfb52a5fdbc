package bench.flink;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/** Keeps each row; turns its change into additions to margins, and to utilizations at the side. */
final class RetractRows
        extends KeyedProcessFunction<String, Tuple2<String, Row>, Tuple2<String, long[]>> {
    static final OutputTag<Tuple2<String, long[]>> UTILIZATION =
            new OutputTag<>("utilization", Totals.TYPE);
    static final ValueStateDescriptor<Row> ROW = new ValueStateDescriptor<>("row", new Row.Type());

    private final Totals totals = new Totals();
    private transient ValueState<Row> row;

    @Override
    public void open(OpenContext context) {
        row = getRuntimeContext().getState(ROW);
    }

    @Override
    public void processElement(
            Tuple2<String, Row> change, Context context, Collector<Tuple2<String, long[]>> out)
            throws Exception {
        Row before = replace(row, change.f1);
        totals.change(
                before,
                change.f1,
                (key, parts) -> out.collect(new Tuple2<>(key, parts)),
                (key, parts) -> context.output(UTILIZATION, new Tuple2<>(key, parts)));
    }

    /** Stores `after` under the current key and returns what it replaces. */
    static Row replace(ValueState<Row> row, Row after) throws Exception {
        Row before = row.value();
        if (after != Row.NONE) {
            row.update(after);
        } else if (before != null) {
            row.clear();
        }
        return before == null ? Row.NONE : before;
    }
}
