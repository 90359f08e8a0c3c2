// PostgreSQL's JDBC driver with its default settings. Usage: java -cp postgresql.jar Jdbc.java DSN
import java.io.StringReader;
import java.io.StringWriter;
import java.net.URI;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;

class Jdbc {
    interface Check {
        void run(Connection connection) throws Exception;
    }

    static String url;
    static boolean failed;

    public static void main(String[] arguments) throws Exception {
        URI dsn = URI.create(arguments[0]);
        url = "jdbc:postgresql://" + dsn.getHost() + ":" + dsn.getPort() + dsn.getPath() + "?user=" + dsn.getUserInfo();
        System.out.println("# JDBC " + new org.postgresql.Driver().getClass().getPackage().getImplementationVersion());
        try (Connection connection = connect(); Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, name text)");
        }
        check("types", Jdbc::types);
        check("prepared", Jdbc::prepared);
        check("transactions", Jdbc::transactions);
        check("errors", Jdbc::errors);
        check("cursor", Jdbc::cursor);
        check("batch", Jdbc::batch);
        check("copy", Jdbc::copy);
        check("cancel", Jdbc::cancel);
        check("notify", Jdbc::notifications);
        check("settings", Jdbc::settings);
        check("temporary", Jdbc::temporary);
        check("large", Jdbc::large);
        check("altered", Jdbc::altered);
        System.exit(failed ? 1 : 0);
    }

    static Connection connect() throws SQLException {
        return DriverManager.getConnection(url);
    }

    static void check(String name, Check check) {
        try (Connection connection = connect()) {
            check.run(connection);
            System.out.println("ok " + name);
        } catch (Throwable error) {
            failed = true;
            System.out.println("not ok " + name + ": " + error.toString().replace('\n', ' '));
        }
    }

    static void equal(Object found, Object expected) {
        if (!Objects.deepEquals(found, expected)) {
            throw new AssertionError("found " + found + ", expected " + expected);
        }
    }

    static SQLException refused(String sqlstate, Connection connection, String sql) {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        } catch (SQLException error) {
            equal(error.getSQLState(), sqlstate);
            return error;
        }
        throw new AssertionError("not refused: " + sql);
    }

    static Object value(Connection connection, String sql, Object... parameters) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < parameters.length; i++) {
                statement.setObject(i + 1, parameters[i]);
            }
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                return rows.getObject(1);
            }
        }
    }

    static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    static void types(Connection connection) throws Exception {
        OffsetDateTime moment = OffsetDateTime.parse("2026-02-03T04:05:06Z");
        String sql = "SELECT ? + 1, ?, ?::text, ?::timestamptz, ?::int[], ?::numeric, ?::jsonb, ?";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            // More often than prepareThreshold, and so in text and in binary format.
            for (int i = 0; i < 10; i++) {
                statement.setInt(1, 41);
                statement.setString(2, "héllo ☃");
                statement.setString(3, null);
                statement.setObject(4, moment);
                statement.setArray(5, connection.createArrayOf("int", new Integer[] {1, 2, null}));
                statement.setBigDecimal(6, new java.math.BigDecimal("1.50"));
                statement.setString(7, "{\"a\": 1}");
                statement.setBytes(8, new byte[] {0, -1});
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    equal(rows.getInt(1), 42);
                    equal(rows.getString(2), "héllo ☃");
                    equal(rows.getString(3), null);
                    equal(rows.getObject(4, OffsetDateTime.class).toInstant(), moment.toInstant());
                    Array array = rows.getArray(5);
                    equal(array.getArray(), new Integer[] {1, 2, null});
                    equal(rows.getBigDecimal(6).toString(), "1.50");
                    equal(rows.getString(7), "{\"a\": 1}");
                    equal(rows.getBytes(8), new byte[] {0, -1});
                }
            }
        }
    }

    static void prepared(Connection unused) throws Exception {
        var threads = Executors.newFixedThreadPool(8);
        List<Future<?>> futures = new ArrayList<>();
        for (int worker = 0; worker < 8; worker++) {
            futures.add(threads.submit(() -> {
                try (Connection mine = connect(); PreparedStatement twice = mine.prepareStatement("SELECT ? * 2")) {
                    for (int i = 0; i < 40; i++) {
                        twice.setInt(1, i);
                        try (ResultSet rows = twice.executeQuery()) {
                            rows.next();
                            equal(rows.getInt(1), 2 * i);
                        }
                    }
                }
                return null;
            }));
        }
        for (Future<?> future : futures) {
            future.get();
        }
        threads.shutdown();
    }

    static void transactions(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        execute(connection, "INSERT INTO t VALUES (1, 'one')");
        var savepoint = connection.setSavepoint();
        execute(connection, "UPDATE t SET name = 'changed'");
        connection.rollback(savepoint);
        equal(value(connection, "SELECT name FROM t WHERE id = ?", 1), "one");
        connection.commit();
        execute(connection, "DELETE FROM t");
        connection.rollback();
        equal(value(connection, "SELECT count(*) FROM t"), 1L);
        connection.commit();
    }

    static void errors(Connection connection) throws Exception {
        refused("42P01", connection, "SELECT * FROM nowhere");
        connection.setAutoCommit(false);
        refused("22012", connection, "SELECT 1/0");
        refused("25P02", connection, "SELECT 1");
        connection.rollback();
        equal(value(connection, "SELECT ?::int", 1), 1);
        connection.commit();
    }

    static void cursor(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(100);
            int seen = 0;
            try (ResultSet rows = statement.executeQuery("SELECT generate_series(1, 5000)")) {
                while (rows.next()) {
                    seen++;
                }
            }
            equal(seen, 5000);
        }
        connection.commit();
    }

    static void batch(Connection connection) throws Exception {
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO t VALUES (?, 'many')")) {
            for (int i = 100; i < 1100; i++) {
                insert.setInt(1, i);
                insert.addBatch();
            }
            equal(Arrays.stream(insert.executeBatch()).sum(), 1000);
        }
        connection.setAutoCommit(false);
        equal(value(connection, "SELECT count(*) FROM t WHERE name = 'many'"), 1000L);
        connection.commit();
    }

    static void copy(Connection connection) throws Exception {
        var copy = connection.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder lines = new StringBuilder();
        for (int i = 2000; i < 7000; i++) {
            lines.append(i).append("\tcopied\n");
        }
        equal(copy.copyIn("COPY t FROM STDIN", new StringReader(lines.toString())), 5000L);
        connection.setAutoCommit(false);
        StringWriter found = new StringWriter();
        equal(copy.copyOut("COPY (SELECT * FROM t WHERE name = 'copied' ORDER BY id) TO STDOUT", found), 5000L);
        connection.commit();
        equal(found.toString(), lines.toString());
    }

    static void cancel(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    Thread.sleep(200);
                    statement.cancel();
                } catch (Exception error) {
                    throw new RuntimeException(error);
                }
            });
            canceller.start();
            try {
                statement.execute("SELECT pg_sleep(60)");
                throw new AssertionError("not cancelled");
            } catch (SQLException error) {
                equal(error.getSQLState(), "57014");
            }
            canceller.join();
        }
        equal(value(connection, "SELECT 1"), 1);
    }

    static void notifications(Connection connection) throws Exception {
        execute(connection, "LISTEN jdbc");
        try (Connection other = connect()) {
            execute(other, "NOTIFY jdbc, 'hello'");
        }
        equal(connection.unwrap(PGConnection.class).getNotifications(20_000)[0].getParameter(), "hello");
    }

    static void settings(Connection connection) throws Exception {
        try (Connection other = connect()) {
            Object normal = value(other, "SHOW work_mem");
            execute(connection, "SET work_mem TO '7MB'");
            for (int i = 0; i < 20; i++) {
                equal(value(connection, "SHOW work_mem"), "7MB");
                equal(value(other, "SHOW work_mem"), normal);
            }
        }
    }

    static void temporary(Connection connection) throws Exception {
        execute(connection, "CREATE TEMP TABLE mine AS SELECT 7 AS a");
        try (Connection other = connect()) {
            refused("42P01", other, "SELECT * FROM mine");
        }
        equal(value(connection, "SELECT a FROM mine"), 7);
    }

    static void large(Connection connection) throws Exception {
        equal(((String) value(connection, "SELECT repeat('x', 5000000)")).length(), 5_000_000);
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT generate_series(1, 100000)")) {
            int seen = 0;
            while (rows.next()) {
                seen++;
            }
            equal(seen, 100_000);
        }
    }

    // A table changes under a statement that the driver has prepared: the driver helps itself by preparing it again.
    static void altered(Connection connection) throws Exception {
        execute(connection, "CREATE TABLE changing AS SELECT 1 AS a");
        connection.setAutoCommit(true);
        try (PreparedStatement all = connection.prepareStatement("SELECT * FROM changing FOR UPDATE");
                Connection other = connect()) {
            for (int i = 0; i < 20; i++) {
                if (i == 10) {
                    execute(other, "ALTER TABLE changing ADD b int");
                }
                try (ResultSet rows = all.executeQuery()) {
                    equal(rows.getMetaData().getColumnCount(), i < 10 ? 1 : 2);
                }
            }
        }
        execute(connection, "DROP TABLE changing");
    }
}
