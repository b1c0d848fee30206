package com.example;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** A web app with nothing but the JDK. */
public final class Main {
  public static void main(String[] arguments) throws IOException {
    int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "5000"));
    HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext("/", Main::answer);
    // A dyno is asked to end with SIGTERM and killed 30 seconds later.
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      System.out.println("SIGTERM received, closing");
      server.stop(1);
    }));
    server.start();
    System.out.println("Listening on port " + port);
  }

  private static void answer(HttpExchange exchange) throws IOException {
    byte[] body = greeting(System.getenv("DYNO")).getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
    exchange.sendResponseHeaders(200, body.length);
    try (var stream = exchange.getResponseBody()) {
      stream.write(body);
    }
  }

  static String greeting(String dyno) {
    return "Hello from Java " + Runtime.version().feature() + " on " + (dyno == null ? "no dyno" : dyno) + "\n";
  }
}
