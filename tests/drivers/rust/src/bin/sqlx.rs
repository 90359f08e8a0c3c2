//! sqlx with its default settings, and its pool. Usage: sqlx DSN

use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeZone, Utc};
use futures::TryStreamExt;
use futures::future::try_join_all;
use howdah_drivers::{Outcomes, equal, introduce};
use serde_json::json;
use sqlx::postgres::{PgListener, PgPoolCopyExt, PgPoolOptions};
use sqlx::{Connection, Error, Executor, PgConnection, PgPool};

#[tokio::main]
async fn main() -> Result<()> {
    let dsn = std::env::args().nth(1).context("no DSN")?;
    introduce("sqlx");
    let mut first = PgConnection::connect(&dsn).await?;
    first.execute("DROP TABLE IF EXISTS t").await?;
    first.execute("CREATE TABLE t (id int PRIMARY KEY, name text)").await?;
    let pool = PgPoolOptions::new().max_connections(16).connect(&dsn).await?;
    let mut outcomes = Outcomes::default();
    outcomes.tell("types", types(&dsn).await);
    outcomes.tell("prepared", prepared(&dsn).await);
    outcomes.tell("transactions", transactions(&dsn).await);
    outcomes.tell("errors", errors(&dsn).await);
    outcomes.tell("copy", copy(&pool).await);
    outcomes.tell("notify", notify(&pool).await);
    outcomes.tell("settings", settings(&dsn).await);
    outcomes.tell("temporary", temporary(&dsn).await);
    outcomes.tell("pool", pooled(&pool).await);
    outcomes.tell("large", large(&dsn).await);
    outcomes.end();
}

fn refused<T>(outcome: Result<T, Error>, sqlstate: &str) -> Result<()> {
    match outcome {
        Ok(_) => bail!("not refused"),
        Err(error) => {
            let found =
                error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
            equal(found.as_ref(), sqlstate)
        }
    }
}

async fn number(connection: &mut PgConnection, sql: &str) -> Result<i64> {
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

async fn types(dsn: &str) -> Result<()> {
    let mut connection = PgConnection::connect(dsn).await?;
    let moment = Utc.with_ymd_and_hms(2026, 2, 3, 4, 5, 6).single().context("a moment")?;
    let sql =
        "SELECT $1::int + 1, $2::text, $3::text, $4::timestamptz, $5::int[], $6::jsonb, $7::bytea";
    type Row =
        (i32, String, Option<String>, DateTime<Utc>, Vec<Option<i32>>, serde_json::Value, Vec<u8>);
    let (array, bytes, document) = (vec![Some(1), Some(2), None], vec![0_u8, 255], json!({"a": 1}));
    let row: Row = sqlx::query_as(sql)
        .bind(41)
        .bind("héllo ☃")
        .bind(None::<String>)
        .bind(moment)
        .bind(&array)
        .bind(&document)
        .bind(&bytes)
        .fetch_one(&mut connection)
        .await?;
    equal(row, (42, "héllo ☃".to_owned(), None, moment, array, document, bytes))
}

async fn prepared(dsn: &str) -> Result<()> {
    let work = async || {
        let mut mine = PgConnection::connect(dsn).await?;
        for i in 0..40 {
            let found: i32 =
                sqlx::query_scalar("SELECT $1::int * 2").bind(i).fetch_one(&mut mine).await?;
            equal(found, 2 * i)?;
        }
        Ok::<_, anyhow::Error>(())
    };
    try_join_all((0..8).map(|_| work())).await.map(|_| ())
}

async fn transactions(dsn: &str) -> Result<()> {
    let mut connection = PgConnection::connect(dsn).await?;
    let mut outer = connection.begin().await?;
    sqlx::query("INSERT INTO t VALUES ($1, $2)").bind(1).bind("one").execute(&mut *outer).await?;
    let mut inner = outer.begin().await?;
    inner.execute("UPDATE t SET name = 'changed'").await?;
    inner.rollback().await?;
    equal(number(&mut outer, "SELECT count(*) FROM t WHERE name = 'one'").await?, 1)?;
    outer.commit().await?;
    let mut outer = connection.begin().await?;
    outer.execute("DELETE FROM t").await?;
    outer.rollback().await?;
    let mut outer = connection.begin().await?;
    equal(number(&mut outer, "SELECT count(*) FROM t").await?, 1)
}

async fn errors(dsn: &str) -> Result<()> {
    let mut connection = PgConnection::connect(dsn).await?;
    refused(sqlx::query("SELECT * FROM nowhere").execute(&mut connection).await, "42P01")?;
    let mut failing = connection.begin().await?;
    let division = sqlx::query("SELECT 1 / $1::int").bind(0).execute(&mut *failing).await;
    refused(division, "22012")?;
    refused(sqlx::query("SELECT 1").execute(&mut *failing).await, "25P02")?;
    failing.rollback().await?;
    equal(number(&mut connection, "SELECT 1::int8").await?, 1)
}

async fn copy(pool: &PgPool) -> Result<()> {
    let mut sink = pool.copy_in_raw("COPY t FROM STDIN").await?;
    let lines: String = (2000..7000).map(|i| format!("{i}\tcopied\n")).collect();
    sink.send(lines.as_bytes()).await?;
    equal(sink.finish().await?, 5000)?;
    let sql = "COPY (SELECT generate_series(1, 5000)) TO STDOUT";
    let found: Vec<_> = pool.copy_out_raw(sql).await?.try_collect().await?;
    equal(found.concat().iter().filter(|byte| **byte == b'\n').count(), 5000)
}

async fn notify(pool: &PgPool) -> Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("sqlx").await?;
    pool.execute("NOTIFY sqlx, 'hello'").await?;
    let heard = tokio::time::timeout(Duration::from_secs(20), listener.recv()).await??;
    equal(heard.payload(), "hello")
}

async fn show(connection: &mut PgConnection) -> Result<String> {
    Ok(sqlx::query_scalar("SHOW TimeZone").fetch_one(connection).await?)
}

async fn settings(dsn: &str) -> Result<()> {
    let mut connection = PgConnection::connect(dsn).await?;
    let mut other = PgConnection::connect(dsn).await?;
    let normal = show(&mut other).await?;
    connection.execute("SET TimeZone TO 'Asia/Tokyo'").await?;
    for _ in 0..20 {
        equal(show(&mut connection).await?, "Asia/Tokyo")?;
        equal(show(&mut other).await?, normal.as_str())?;
    }
    Ok(())
}

async fn temporary(dsn: &str) -> Result<()> {
    let mut connection = PgConnection::connect(dsn).await?;
    let mut other = PgConnection::connect(dsn).await?;
    connection.execute("CREATE TEMP TABLE mine AS SELECT 7::int8 AS a").await?;
    refused(sqlx::query("SELECT * FROM mine").execute(&mut other).await, "42P01")?;
    equal(number(&mut connection, "SELECT a FROM mine").await?, 7)
}

async fn pooled(pool: &PgPool) -> Result<()> {
    let work = async |worker: i32| {
        for i in 0..20 {
            let id = 10_000 + 100 * worker + i;
            let mut mine = pool.begin().await?;
            let insert = sqlx::query("INSERT INTO t VALUES ($1, 'pooled')").bind(id);
            insert.execute(&mut *mine).await?;
            let select = sqlx::query_scalar("SELECT name FROM t WHERE id = $1").bind(id);
            equal(select.fetch_one(&mut *mine).await.map(|name: String| name)?, "pooled")?;
            mine.commit().await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    try_join_all((0..20).map(work)).await.map(|_| ())
}

async fn large(dsn: &str) -> Result<()> {
    let mut connection = PgConnection::connect(dsn).await?;
    let text: String =
        sqlx::query_scalar("SELECT repeat('x', 5000000)").fetch_one(&mut connection).await?;
    equal(text.len(), 5_000_000)?;
    let rows = sqlx::query("SELECT generate_series(1, 100000)").fetch_all(&mut connection).await?;
    equal(rows.len(), 100_000)
}
