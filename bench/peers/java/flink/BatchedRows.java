package bench.flink;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Does what {@link RetractRows} does for a bundle of changes at once: of each row only the last
 * change is worked, and all that a bundle adds to a total is sent on as one addition.
 *
 * <p>A bundle ends when it is full, and before each checkpoint's barrier, so it is in no
 * checkpoint. It needs no timer: outputs are seen only when a checkpoint commits them.
 */
final class BatchedRows extends AbstractStreamOperator<Tuple2<String, long[]>>
        implements OneInputStreamOperator<Tuple2<String, Row>, Tuple2<String, long[]>> {
    private static final int FULL = Integer.parseInt(Cluster.option("rows", "20000"));

    private final Totals totals = new Totals();
    private transient Map<String, Row> changes;
    private transient Map<String, long[]> margins;
    private transient Map<String, long[]> utilizations;
    private transient ValueState<Row> row;

    @Override
    public void open() throws Exception {
        super.open();
        changes = new HashMap<>();
        margins = new HashMap<>();
        utilizations = new HashMap<>();
        row = getRuntimeContext().getState(RetractRows.ROW);
    }

    /** The key is set when the bundle ends, not for each element. */
    @Override
    @SuppressWarnings("rawtypes")
    public void setKeyContextElement1(StreamRecord element) {}

    @Override
    public void processElement(StreamRecord<Tuple2<String, Row>> element) throws Exception {
        Tuple2<String, Row> change = element.getValue();
        changes.put(change.f0, change.f1);
        if (changes.size() >= FULL) {
            endBundle();
        }
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
        endBundle();
    }

    @Override
    public void finish() throws Exception {
        endBundle();
        super.finish();
    }

    private void endBundle() throws Exception {
        for (Map.Entry<String, Row> change : changes.entrySet()) {
            setCurrentKey(change.getKey());
            Row before = RetractRows.replace(row, change.getValue());
            totals.change(
                    before,
                    change.getValue(),
                    (key, parts) -> Totals.merge(margins, key, parts),
                    (key, parts) -> Totals.merge(utilizations, key, parts));
        }
        changes.clear();
        margins.forEach(
                (key, parts) -> output.collect(new StreamRecord<>(new Tuple2<>(key, parts))));
        margins.clear();
        utilizations.forEach(
                (key, parts) ->
                        output.collect(
                                RetractRows.UTILIZATION,
                                new StreamRecord<>(new Tuple2<>(key, parts))));
        utilizations.clear();
    }
}
