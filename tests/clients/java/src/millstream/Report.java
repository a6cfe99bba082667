package millstream;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletionException;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.core.interceptor.SdkExecutionAttribute;

/** The cases of a suite and the lines of JSON about them; tests/clients/README.md defines these. */
final class Report {
    static final String ENDPOINT = told("MILLSTREAM_ENDPOINT");
    static final String SCHEME = ENDPOINT.split(":")[0];

    private final String client;
    private volatile String current = "";
    private final Map<List<String>, int[]> calls = new TreeMap<>((a, b) -> a.toString().compareTo(b.toString()));

    Report(String client) {
        this.client = client;
    }

    /** A variable that the driver sets. */
    static String told(String name) {
        return System.getenv().getOrDefault(name, "");
    }

    interface Case {
        void run() throws Exception;
    }

    /** Runs the cases, and ends the process by what became of them. */
    void run(Map<String, Case> cases) {
        boolean failed = false;
        for (Map.Entry<String, Case> each : cases.entrySet()) {
            failed |= !runOne(each.getKey(), each.getValue());
        }
        System.out.flush();
        // Clients keep threads of their own.
        Runtime.getRuntime().halt(failed ? 1 : 0);
    }

    private boolean runOne(String name, Case body) {
        synchronized (calls) {
            calls.clear();
            current = name;
        }
        long started = System.nanoTime();
        Throwable failure = null;
        try {
            body.run();
        } catch (Throwable thrown) {
            failure = thrown instanceof CompletionException && thrown.getCause() != null ? thrown.getCause() : thrown;
            failure.printStackTrace();
        }
        boolean ok = failure == null;
        synchronized (calls) {
            calls.forEach((key, seen) -> line(fields("operation", key.get(0), "encoding", key.get(1), "transport", key.get(2),
                    "calls", seen[0], "answered", seen[1], "ok", ok)));
            Map<String, Object> result = fields("ok", ok, "seconds", Math.round((System.nanoTime() - started) / 1e7) / 100.0);
            if (!ok) {
                result.put("error", failure.toString());
            }
            line(result);
        }
        return ok;
    }

    /** Where the time of a long case goes, for whoever reads the log. */
    static void step(String text) {
        System.err.printf("%tT %s%n", System.currentTimeMillis(), text);
    }

    void line(Map<String, Object> more) {
        more.put("client", client);
        more.put("scheme", SCHEME);
        more.put("case", current);
        StringBuilder text = new StringBuilder("{");
        more.forEach((name, value) -> {
            text.append(text.length() > 1 ? "," : "").append('"').append(name).append("\":");
            text.append(value instanceof String string ? quoted(string) : value.toString());
        });
        System.out.println(text.append('}'));
        System.out.flush();
    }

    private static String quoted(String value) {
        StringBuilder text = new StringBuilder("\"");
        value.chars().forEach(c -> {
            if (c == '"' || c == '\\') {
                text.append('\\').append((char) c);
            } else if (c < ' ') {
                text.append(String.format("\\u%04x", c));
            } else {
                text.append((char) c);
            }
        });
        return text.append('"').toString();
    }

    static Map<String, Object> fields(Object... pairs) {
        Map<String, Object> fields = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            fields.put((String) pairs[i], pairs[i + 1]);
        }
        return fields;
    }

    /** The hook: tells of every answer to a client that has it. */
    ExecutionInterceptor hook(String transport) {
        return new ExecutionInterceptor() {
            @Override
            public void afterTransmission(Context.AfterTransmission context, ExecutionAttributes attributes) {
                String kind = context.httpRequest().firstMatchingHeader("Content-Type").orElse("");
                String operation = attributes.getAttribute(SdkExecutionAttribute.OPERATION_NAME);
                count(operation, kind.contains("cbor") ? "cbor" : "json", transport, context.httpResponse().isSuccessful());
            }
        };
    }

    /** For a client that has no hook: what it must have called, and got answered. */
    void called(String operation, String encoding, String transport) {
        count(operation, encoding, transport, true);
    }

    private void count(String operation, String encoding, String transport, boolean answered) {
        synchronized (calls) {
            int[] seen = calls.computeIfAbsent(List.of(operation, encoding, transport), key -> new int[2]);
            seen[0]++;
            seen[1] += answered ? 1 : 0;
        }
    }

    static void check(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object got, Object expected, String what) {
        check(expected.equals(got), what + ": expected " + expected + ", got " + got);
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    /** Waits for a condition with a deadline. */
    static void until(String what, int seconds, Condition condition) throws Exception {
        long deadline = System.nanoTime() + seconds * 1_000_000_000L;
        while (!condition.holds()) {
            check(System.nanoTime() < deadline, "not within " + seconds + " s: " + what);
            Thread.sleep(50);
        }
    }
}
