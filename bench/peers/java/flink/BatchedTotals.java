package bench.flink;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Does what {@link SumTotals} does for a bundle of additions at once, as {@link BatchedRows}: a
 * total is read, stored and sent on once a bundle.
 */
final class BatchedTotals extends AbstractStreamOperator<Tuple2<String, long[]>>
        implements OneInputStreamOperator<Tuple2<String, long[]>, Tuple2<String, long[]>> {
    /** A bound of memory only; usually a checkpoint comes first. */
    private static final int FULL = Integer.parseInt(Cluster.option("totals", "50000"));

    private transient Map<String, long[]> additions;
    private transient ValueState<long[]> total;

    @Override
    public void open() throws Exception {
        super.open();
        additions = new HashMap<>();
        total = getRuntimeContext().getState(SumTotals.TOTAL);
    }

    /** The key is set when the bundle ends, not for each element. */
    @Override
    @SuppressWarnings("rawtypes")
    public void setKeyContextElement1(StreamRecord element) {}

    @Override
    public void processElement(StreamRecord<Tuple2<String, long[]>> element) throws Exception {
        Tuple2<String, long[]> addition = element.getValue();
        Totals.merge(additions, addition.f0, addition.f1);
        if (additions.size() >= FULL) {
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
        for (Map.Entry<String, long[]> addition : additions.entrySet()) {
            setCurrentKey(addition.getKey());
            long[] sum = SumTotals.add(total, addition.getValue());
            output.collect(new StreamRecord<>(new Tuple2<>(addition.getKey(), sum)));
        }
        additions.clear();
    }
}
