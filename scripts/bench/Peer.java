// The benchmark's servlet, in an embedded Tomcat that speaks AJP on a Unix socket.

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

// Usage: Peer FOLDER SOCKET
public class Peer extends HttpServlet {
    private static final byte[] SMALL = "hello world\n".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] LARGE = "x".repeat(64 * 1024).getBytes(StandardCharsets.US_ASCII);

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setContentType("text/plain");
        response.getOutputStream().write(request.getRequestURI().contains("/large") ? LARGE : SMALL);
    }

    public static void main(String[] args) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(args[0]);
        Connector connector = new Connector("org.apache.coyote.ajp.AjpNioProtocol");
        connector.setProperty("unixDomainSocketPath", args[1]);
        connector.setProperty("secretRequired", "false");
        // With the default of 200 requests Tomcat would end connections in between.
        connector.setProperty("maxKeepAliveRequests", "-1");
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", args[0]);
        Tomcat.addServlet(context, "peer", new Peer());
        context.addServletMappingDecoded("/", "peer");
        tomcat.start();
        tomcat.getServer().await();
    }
}
