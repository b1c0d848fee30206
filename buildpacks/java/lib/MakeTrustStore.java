import java.io.ByteArrayInputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** MakeTrustStore BUNDLE STORE: makes a key store, as Java reads it, of the certificates in a PEM file. */
class MakeTrustStore {
  private static final Pattern CERTIFICATE =
      Pattern.compile("-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----");
  /** The password that every Java expects of this file. */
  private static final char[] PASSWORD = "changeit".toCharArray();

  public static void main(String[] arguments) throws Exception {
    CertificateFactory factory = CertificateFactory.getInstance("X.509");
    KeyStore store = KeyStore.getInstance("JKS");
    store.load(null, PASSWORD);
    Matcher matcher = CERTIFICATE.matcher(Files.readString(Path.of(arguments[0])));
    for (int number = 1; matcher.find(); number++) {
      byte[] bytes = Base64.getMimeDecoder().decode(matcher.group(1));
      try {
        store.setCertificateEntry("ca-" + number, factory.generateCertificate(new ByteArrayInputStream(bytes)));
      } catch (CertificateException error) {
        // One that Java cannot read must not take the others away.
        System.out.println("Certificate " + number + " of " + arguments[0] + " left out: " + error.getMessage());
      }
    }
    try (OutputStream stream = Files.newOutputStream(Path.of(arguments[1]))) {
      store.store(stream, PASSWORD);
    }
  }
}
