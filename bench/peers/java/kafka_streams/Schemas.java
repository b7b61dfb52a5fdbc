package bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import org.apache.avro.Schema;

/** Asks the registry, once for a schema id, whether records are what a decoder takes them for. */
final class Schemas {
    private static final Map<Integer, Boolean> ACCEPTED = new ConcurrentHashMap<>();

    private Schemas() {}

    /** Fails for a record of a schema that is not accepted. An id is asked about by one decoder only. */
    static void require(int id, Predicate<Schema> isAccepted) {
        if (ACCEPTED.containsKey(id)) {
            return;
        }
        Schema schema = fetch(id);
        if (!isAccepted.test(schema)) {
            throw new IllegalStateException("schema " + id + " has other fields than expected: " + schema);
        }
        ACCEPTED.put(id, true);
    }

    static boolean beginsWith(Schema schema, List<String> names) {
        List<String> found = schema.getFields().stream().map(Schema.Field::name).toList();
        return found.size() >= names.size() && found.subList(0, names.size()).equals(names);
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
