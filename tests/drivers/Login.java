import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

/** Logs in as each line of standard input says, and prints what becomes of it: see login.py. */
public class Login {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            Properties properties = new Properties();
            properties.setProperty("user", words[2]);
            properties.setProperty("password", words[3]);
            properties.setProperty("sslmode", words[4]);
            if (!words[6].equals("-")) {
                properties.setProperty("sslcert", words[6] + ".crt");
                // The same key as in the other file, as this driver reads it.
                properties.setProperty("sslkey", words[6] + ".pk8");
            }
            String url = "jdbc:postgresql://127.0.0.1:" + words[0] + "/" + words[1];
            System.out.println(login(url, properties).replace('\n', ' '));
        }
    }

    private static String login(String url, Properties properties) {
        try (Connection connection = DriverManager.getConnection(url, properties);
                ResultSet rows = connection.createStatement().executeQuery("SELECT 'in'")) {
            rows.next();
            return rows.getString(1);
        } catch (SQLException error) {
            return error.getSQLState() + " " + error.getMessage();
        }
    }
}
