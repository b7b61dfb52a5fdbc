package bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import org.apache.avro.Schema;

/** Asks the registry, once for a schema id, whether records are what the decoder takes them for. */
final class Schemas {
    private static final List<String> TIME_ENTRY = List.of(
            "id", "project_ref", "task_ref", "resource_id", "work_on", "hours", "bill_rate", "cost_rate",
            "currency", "status", "is_billable");

    private static volatile int known = -1;

    private Schemas() {}

    static void requireTimeEntry(int id) {
        if (id == known) {
            return;
        }
        List<String> names = fetch(id).getFields().stream().map(Schema.Field::name).toList();
        if (names.size() < TIME_ENTRY.size() || !names.subList(0, TIME_ENTRY.size()).equals(TIME_ENTRY)) {
            throw new IllegalStateException("schema " + id + " is not a time entry: its fields are " + names);
        }
        known = id;
    }

    private static Schema fetch(int id) {
        URI address = URI.create(Job.text("REGISTRY_URL") + "/schemas/ids/" + id);
        try {
            String answer = HttpClient.newHttpClient()
                    .send(HttpRequest.newBuilder(address).build(), BodyHandlers.ofString()).body();
            return new Schema.Parser().parse(new ObjectMapper().readTree(answer).get("schema").asText());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }
}
