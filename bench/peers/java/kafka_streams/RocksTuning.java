package bench;

import java.util.Map;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.Filter;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;

/** RocksDB for stores that are read once for each write, half of the time for a key that is new. */
public final class RocksTuning implements RocksDBConfigSetter {
    // Shared by all stores, so that it goes where it is needed: to the rows.
    private static final Cache CACHE = new LRUCache(128L << 20);
    private static final Filter FILTER = new BloomFilter(10, false);

    @Override
    public void setConfig(String store, Options options, Map<String, Object> configs) {
        BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
        table.setBlockCache(CACHE);
        table.setFilterPolicy(FILTER);
        options.setTableFormatConfig(table);
        // Kafka Streams takes most look-ups for hits and drops the filters of the last level.
        options.setOptimizeFiltersForHits(false);
        options.setWriteBufferSize(32L << 20);
    }

    @Override
    public void close(String store, Options options) {
        // Cache and filter belong to all stores and live as long as the process.
    }
}
