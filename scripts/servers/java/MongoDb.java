import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import java.net.InetSocketAddress;

/** MongoDB's protocol on 127.0.0.1: `java -cp JARS MongoDb.java FILE PORT` keeps everything in FILE. */
class MongoDb {
    public static void main(String[] arguments) throws InterruptedException {
        MongoServer server = new MongoServer(new H2Backend(arguments[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[1])));
        Thread.currentThread().join();
    }
}
