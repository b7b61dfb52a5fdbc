package bench;

import java.time.LocalDate;
import java.time.temporal.IsoFields;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Names of periods by day since 1970; there are few days, so each is formatted once. */
final class Periods {
    private static final Map<Integer, String> MONTHS = new ConcurrentHashMap<>();
    private static final Map<Integer, String> WEEKS = new ConcurrentHashMap<>();

    private Periods() {}

    /** Such as 2026-01. */
    static String month(int day) {
        return MONTHS.computeIfAbsent(day, it -> {
            LocalDate date = LocalDate.ofEpochDay(it);
            return String.format("%04d-%02d", date.getYear(), date.getMonthValue());
        });
    }

    /** ISO week, such as 2026-W01. */
    static String week(int day) {
        return WEEKS.computeIfAbsent(day, it -> {
            LocalDate date = LocalDate.ofEpochDay(it);
            return String.format("%04d-W%02d",
                    date.get(IsoFields.WEEK_BASED_YEAR), date.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR));
        });
    }
}
