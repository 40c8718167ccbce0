import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends with the Java client. */
public class Send {
    static KafkaProducer<String, String> producer(String brokers, Object... config) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", brokers, "linger.ms", 100));
        for (int i = 0; i < config.length; i += 2) all.put((String) config[i], config[i + 1]);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    static void send(KafkaProducer<String, String> p, String topic, boolean headers) {
        String[][] records = {{"a", "one ".repeat(50)}, {null, "two ".repeat(50)}, {"c", null}};
        for (String[] r : records) {
            var record = new ProducerRecord<>(topic, r[0], r[1]);
            if (headers) record.headers().add("h", "v".getBytes()).add("none", null);
            p.send(record);
        }
        p.flush();
    }

    public static void main(String[] args) {
        for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
            try (var p = producer(args[0], "compression.type", codec)) {
                for (boolean headers : new boolean[] {false, true}) send(p, "java-" + codec, headers);
            }
        }
        try (var p = producer(args[0], "enable.idempotence", false)) {
            for (boolean headers : new boolean[] {false, true}) send(p, "java-plain", headers);
        }
        try (var p = producer(args[0], "transactional.id", "java")) {
            p.initTransactions();
            p.beginTransaction();
            send(p, "java-transactions", false);
            p.commitTransaction();
            p.beginTransaction();
            send(p, "java-transactions", true);
            p.abortTransaction();
        }
    }
}
