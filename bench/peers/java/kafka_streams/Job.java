package bench;

/** The job, which the benchmark hands over as environment variables (bench/peers/peer.py). */
final class Job {
    private Job() {}

    static String text(String name) {
        return System.getenv("BENCH_" + name);
    }

    static int number(String name) {
        return Integer.parseInt(text(name));
    }
}
