// pgx with its default settings, and its pool. Usage: pgx DSN
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var (
	ctx = context.Background()
	dsn = os.Args[1]
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(found, expected interface{}) {
	if !reflect.DeepEqual(found, expected) {
		panic(fmt.Sprintf("found %v, expected %v", found, expected))
	}
}

func refused(err error, sqlstate string) {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Code != sqlstate {
		panic(fmt.Sprintf("found %v, expected %s", err, sqlstate))
	}
}

func connect() *pgx.Conn {
	conn, err := pgx.Connect(ctx, dsn)
	must(err)
	return conn
}

type querier interface {
	QueryRow(context.Context, string, ...interface{}) pgx.Row
	Exec(context.Context, string, ...interface{}) (pgconn.CommandTag, error)
}

func execute(conn querier, sql string, values ...interface{}) {
	_, err := conn.Exec(ctx, sql, values...)
	must(err)
}

func text(conn querier, sql string, values ...interface{}) (value string) {
	must(conn.QueryRow(ctx, sql, values...).Scan(&value))
	return value
}

func number(conn querier, sql string, values ...interface{}) (value int) {
	must(conn.QueryRow(ctx, sql, values...).Scan(&value))
	return value
}

// Runs several of these at once. The first panic is passed on.
func atOnce(count int, work func(int)) {
	var group sync.WaitGroup
	failures := make(chan interface{}, count)
	for i := 0; i < count; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			defer func() {
				if failure := recover(); failure != nil {
					failures <- failure
				}
			}()
			work(i)
		}(i)
	}
	group.Wait()
	if len(failures) > 0 {
		panic(<-failures)
	}
}

func types(conn *pgx.Conn) {
	moment := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	sql := "SELECT $1::int + 1, $2::text, $3::text, $4::timestamptz, $5::int[], $6::numeric::text, $7::jsonb::text, $8::bytea"
	var (
		a    int
		b    string
		c    *string
		d    time.Time
		e    []int32
		f, g string
		h    []byte
	)
	row := conn.QueryRow(ctx, sql, 41, "héllo ☃", nil, moment, []int32{1, 2}, "1.50", `{"a": 1}`, []byte{0, 255})
	must(row.Scan(&a, &b, &c, &d, &e, &f, &g, &h))
	equal([]interface{}{a, b, c == nil, d.UTC(), e, f, g, h},
		[]interface{}{42, "héllo ☃", true, moment, []int32{1, 2}, "1.50", `{"a": 1}`, []byte{0, 255}})
}

func prepared(*pgx.Conn) {
	atOnce(8, func(int) {
		conn := connect()
		defer conn.Close(ctx)
		_, err := conn.Prepare(ctx, "thrice", "SELECT $1::int * 3")
		must(err)
		for i := 0; i < 40; i++ {
			equal(number(conn, "SELECT $1::int * 2", i), 2*i)
			equal(number(conn, "thrice", i), 3*i)
		}
	})
}

func transactions(conn *pgx.Conn) {
	tx, err := conn.Begin(ctx)
	must(err)
	execute(tx, "INSERT INTO t VALUES ($1, $2)", 1, "one")
	inner, err := tx.Begin(ctx)
	must(err)
	execute(inner, "UPDATE t SET name = 'changed'")
	must(inner.Rollback(ctx))
	equal(text(tx, "SELECT name FROM t WHERE id = $1", 1), "one")
	must(tx.Commit(ctx))
	tx, err = conn.Begin(ctx)
	must(err)
	execute(tx, "DELETE FROM t")
	must(tx.Rollback(ctx))
	must(conn.BeginFunc(ctx, func(tx pgx.Tx) error {
		equal(number(tx, "SELECT count(*) FROM t"), 1)
		return nil
	}))
}

func failures(conn *pgx.Conn) {
	_, err := conn.Exec(ctx, "SELECT * FROM nowhere")
	refused(err, "42P01")
	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "SELECT 1 / $1::int", 0)
	refused(err, "22012")
	_, err = tx.Exec(ctx, "SELECT 1")
	refused(err, "25P02")
	must(tx.Rollback(ctx))
	equal(number(conn, "SELECT 1"), 1)
}

func batch(conn *pgx.Conn) {
	several := &pgx.Batch{}
	for i := 0; i < 50; i++ {
		several.Queue("SELECT $1::int", i)
	}
	answers := conn.SendBatch(ctx, several)
	for i := 0; i < 50; i++ {
		var found int
		must(answers.QueryRow().Scan(&found))
		equal(found, i)
	}
	must(answers.Close())
}

func copyIn(conn *pgx.Conn) {
	rows := [][]interface{}{}
	for i := int32(2000); i < 7000; i++ {
		rows = append(rows, []interface{}{i, "copied"})
	}
	count, err := conn.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"id", "name"}, pgx.CopyFromRows(rows))
	must(err)
	equal(count, int64(5000))
	var out strings.Builder
	execute(conn, "BEGIN")
	_, err = conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM t WHERE name = 'copied') TO STDOUT")
	must(err)
	execute(conn, "COMMIT")
	equal(strings.Count(out.String(), "\n"), 5000)
}

func cancel(conn *pgx.Conn) {
	go func() {
		time.Sleep(200 * time.Millisecond)
		_ = conn.PgConn().CancelRequest(ctx)
	}()
	_, err := conn.Exec(ctx, "SELECT pg_sleep(60)")
	refused(err, "57014")
	equal(number(conn, "SELECT 1"), 1)
}

func notify(conn *pgx.Conn) {
	execute(conn, "LISTEN pgx")
	other := connect()
	defer other.Close(ctx)
	execute(other, "NOTIFY pgx, 'hello'")
	soon, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	note, err := conn.WaitForNotification(soon)
	must(err)
	equal(note.Payload, "hello")
}

func settings(conn *pgx.Conn) {
	other := connect()
	defer other.Close(ctx)
	normal := text(other, "SHOW TimeZone")
	execute(conn, "SET TimeZone TO 'Asia/Tokyo'")
	for i := 0; i < 20; i++ {
		equal(text(conn, "SHOW TimeZone"), "Asia/Tokyo")
		equal(text(other, "SHOW TimeZone"), normal)
	}
	equal(conn.PgConn().ParameterStatus("TimeZone"), "Asia/Tokyo")
}

func temporary(conn *pgx.Conn) {
	execute(conn, "CREATE TEMP TABLE mine AS SELECT 7 AS a")
	other := connect()
	defer other.Close(ctx)
	_, err := other.Exec(ctx, "SELECT * FROM mine")
	refused(err, "42P01")
	equal(number(conn, "SELECT a FROM mine"), 7)
}

func pool(*pgx.Conn) {
	shared, err := pgxpool.Connect(ctx, dsn)
	must(err)
	defer shared.Close()
	atOnce(16, func(worker int) {
		for i := 0; i < 20; i++ {
			id := 10000 + 100*worker + i
			must(shared.BeginFunc(ctx, func(tx pgx.Tx) error {
				execute(tx, "INSERT INTO t VALUES ($1, 'pooled')", id)
				equal(text(tx, "SELECT name FROM t WHERE id = $1", id), "pooled")
				return nil
			}))
		}
	})
}

func large(conn *pgx.Conn) {
	equal(len(text(conn, "SELECT repeat('x', 5000000)")), 5000000)
	rows, err := conn.Query(ctx, "SELECT generate_series(1, 100000)")
	must(err)
	seen := 0
	for rows.Next() {
		seen++
	}
	must(rows.Err())
	equal(seen, 100000)
}

func main() {
	fmt.Println("# pgx", os.Getenv("PGX_VERSION"))
	first := connect()
	execute(first, "DROP TABLE IF EXISTS t")
	execute(first, "CREATE TABLE t (id int PRIMARY KEY, name text)")
	must(first.Close(ctx))
	code := 0
	for _, check := range []struct {
		name string
		run  func(*pgx.Conn)
	}{
		{"types", types}, {"prepared", prepared}, {"transactions", transactions}, {"errors", failures},
		{"batch", batch}, {"copy", copyIn}, {"cancel", cancel}, {"notify", notify}, {"settings", settings},
		{"temporary", temporary}, {"pool", pool}, {"large", large},
	} {
		func() {
			defer func() {
				if failure := recover(); failure != nil {
					code = 1
					fmt.Printf("not ok %s: %s\n", check.name, strings.ReplaceAll(fmt.Sprint(failure), "\n", " "))
				}
			}()
			conn := connect()
			defer conn.Close(ctx)
			check.run(conn)
			fmt.Println("ok", check.name)
		}()
	}
	os.Exit(code)
}
