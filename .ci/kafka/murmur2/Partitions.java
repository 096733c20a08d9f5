import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.StringJoiner;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/**
 * Says where Kafka's own Java producer puts keys. It takes numbers of partitions as arguments, and a key a line, in Base64, from standard
 * input; and prints a line for each key with two numbers for each argument: {@code Utils.toPositive(Utils.murmur2(key)) % n}, which is what
 * others copy, and what the producer without a partitioner of its own calls for a record with a key.
 *
 * <p>Run by a JDK of 17 or later, with Kafka's artifacts: {@code java -cp 'lib/*' Partitions.java 12 50}
 */
public final class Partitions {
  public static void main(String[] partitions) throws IOException {
    var out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      byte[] key = Base64.getDecoder().decode(line);
      var places = new StringJoiner(" ");
      for (String text : partitions) {
        int n = Integer.parseInt(text);
        places.add(Integer.toString(Utils.toPositive(Utils.murmur2(key)) % n));
        places.add(Integer.toString(BuiltInPartitioner.partitionForKey(key, n)));
      }
      out.println(places);
    }
    out.flush();
  }
}
