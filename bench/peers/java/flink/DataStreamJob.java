package bench.flink;

import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** Arguments: "plain" or "batched", and the state backend. */
public final class DataStreamJob {
    private DataStreamJob() {}

    public static void main(String[] arguments) throws Exception {
        boolean batched = arguments[0].equals("batched");
        StreamExecutionEnvironment environment = Cluster.environment(arguments[1]);
        KeyedStream<Tuple2<String, Row>, String> changes =
                byKey(
                        environment.fromSource(
                                Topics.source(), WatermarkStrategy.noWatermarks(), "source"));
        SingleOutputStreamOperator<Tuple2<String, long[]>> additions =
                batched
                        ? changes.transform("rows", Totals.TYPE, new BatchedRows())
                        : changes.process(new RetractRows(), Totals.TYPE).name("rows");
        write(additions, "MARGIN", batched);
        write(additions.getSideOutput(RetractRows.UTILIZATION), "UTILIZATION", batched);
        environment.execute(arguments[0]);
    }

    private static void write(
            DataStream<Tuple2<String, long[]>> additions, String output, boolean batched) {
        KeyedStream<Tuple2<String, long[]>, String> keyed = byKey(additions);
        SingleOutputStreamOperator<Tuple2<String, long[]>> totals =
                batched
                        ? keyed.transform(output, Totals.TYPE, new BatchedTotals())
                        : keyed.process(new SumTotals(), Totals.TYPE).name(output);
        totals.sinkTo(Topics.sink(output));
    }

    private static <T> KeyedStream<Tuple2<String, T>, String> byKey(
            DataStream<Tuple2<String, T>> stream) {
        return stream.keyBy(pair -> pair.f0, Types.STRING);
    }
}
