//! tokio-postgres with its default settings. Usage: tokio-postgres DSN

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeZone, Utc};
use futures::future::{join_all, try_join_all};
use futures::{SinkExt, StreamExt, TryStreamExt};
use howdah_drivers::{Outcomes, equal, introduce};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls};

#[tokio::main]
async fn main() -> Result<()> {
    let dsn = std::env::args().nth(1).context("no DSN")?;
    introduce("tokio-postgres");
    let (first, _) = connect(&dsn).await?;
    first
        .batch_execute("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, name text)")
        .await?;
    let mut outcomes = Outcomes::default();
    outcomes.tell("types", types(&dsn).await);
    outcomes.tell("prepared", prepared(&dsn).await);
    outcomes.tell("transactions", transactions(&dsn).await);
    outcomes.tell("errors", errors(&dsn).await);
    outcomes.tell("cursor", cursor(&dsn).await);
    outcomes.tell("batch", batch(&dsn).await);
    outcomes.tell("copy", copy(&dsn).await);
    outcomes.tell("cancel", cancel(&dsn).await);
    outcomes.tell("notify", notify(&dsn).await);
    outcomes.tell("settings", settings(&dsn).await);
    outcomes.tell("temporary", temporary(&dsn).await);
    outcomes.tell("large", large(&dsn).await);
    outcomes.end();
}

/// A client, and the notifications that it gets.
async fn connect(dsn: &str) -> Result<(Client, mpsc::UnboundedReceiver<String>)> {
    let (client, mut connection) = tokio_postgres::connect(dsn, NoTls).await?;
    let (sender, notifications) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(note) = message {
                let _ = sender.send(note.payload().to_owned());
            }
        }
    });
    Ok((client, notifications))
}

fn refused<T>(outcome: Result<T, Error>, state: &SqlState) -> Result<()> {
    match outcome {
        Ok(_) => bail!("not refused"),
        Err(error) => equal(error.code(), Some(state)),
    }
}

async fn types(dsn: &str) -> Result<()> {
    let (client, _) = connect(dsn).await?;
    let moment = Utc.with_ymd_and_hms(2026, 2, 3, 4, 5, 6).single().context("a moment")?;
    let sql =
        "SELECT $1::int + 1, $2::text, $3::text, $4::timestamptz, $5::int[], $6::jsonb, $7::bytea";
    let (array, bytes, document) = (vec![Some(1), Some(2), None], vec![0_u8, 255], json!({"a": 1}));
    let row = client
        .query_one(sql, &[&41_i32, &"héllo ☃", &None::<String>, &moment, &array, &document, &bytes])
        .await?;
    equal(row.get::<_, i32>(0), 42)?;
    equal(row.get::<_, &str>(1), "héllo ☃")?;
    equal(row.get::<_, Option<&str>>(2), None::<&str>)?;
    equal(row.get::<_, DateTime<Utc>>(3), moment)?;
    equal(row.get::<_, Vec<Option<i32>>>(4), array)?;
    equal(row.get::<_, serde_json::Value>(5), document)?;
    equal(row.get::<_, Vec<u8>>(6), bytes)
}

async fn prepared(dsn: &str) -> Result<()> {
    let work = async || {
        let (client, _) = connect(dsn).await?;
        let twice = client.prepare("SELECT $1::int * 2").await?;
        for i in 0..40 {
            equal(client.query_one(&twice, &[&i]).await?.get::<_, i32>(0), 2 * i)?;
        }
        Ok::<_, anyhow::Error>(())
    };
    try_join_all((0..8).map(|_| work())).await.map(|_| ())
}

async fn transactions(dsn: &str) -> Result<()> {
    let (mut client, _) = connect(dsn).await?;
    let mut outer = client.transaction().await?;
    outer.execute("INSERT INTO t VALUES ($1, $2)", &[&1_i32, &"one"]).await?;
    let inner = outer.transaction().await?;
    inner.execute("UPDATE t SET name = 'changed'", &[]).await?;
    inner.rollback().await?;
    let row = outer.query_one("SELECT name FROM t WHERE id = $1", &[&1_i32]).await?;
    equal(row.get::<_, &str>(0), "one")?;
    outer.commit().await?;
    let outer = client.transaction().await?;
    outer.execute("DELETE FROM t", &[]).await?;
    outer.rollback().await?;
    let outer = client.transaction().await?;
    equal(outer.query_one("SELECT count(*) FROM t", &[]).await?.get::<_, i64>(0), 1)
}

async fn errors(dsn: &str) -> Result<()> {
    let (mut client, _) = connect(dsn).await?;
    refused(client.query("SELECT * FROM nowhere", &[]).await, &SqlState::UNDEFINED_TABLE)?;
    let failing = client.transaction().await?;
    refused(failing.query("SELECT 1 / $1::int", &[&0_i32]).await, &SqlState::DIVISION_BY_ZERO)?;
    refused(failing.query("SELECT 1", &[]).await, &SqlState::IN_FAILED_SQL_TRANSACTION)?;
    failing.rollback().await?;
    equal(client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0), 1)
}

async fn cursor(dsn: &str) -> Result<()> {
    let (mut client, _) = connect(dsn).await?;
    let transaction = client.transaction().await?;
    let portal = transaction.bind("SELECT generate_series(1, $1::int)", &[&5000_i32]).await?;
    let mut seen = 0;
    loop {
        let rows = transaction.query_portal(&portal, 100).await?;
        if rows.is_empty() {
            return equal(seen, 5000);
        }
        seen += rows.len();
    }
}

/// Queries that are sent without waiting for each other's answers.
async fn batch(dsn: &str) -> Result<()> {
    let (client, _) = connect(dsn).await?;
    let statement = client.prepare("SELECT $1::int").await?;
    let numbers: Vec<i32> = (0..50).collect();
    let found = join_all(numbers.iter().map(async |number| {
        Ok::<_, Error>(client.query_one(&statement, &[number]).await?.get::<_, i32>(0))
    }));
    equal(found.await.into_iter().collect::<Result<Vec<_>, _>>()?, numbers)
}

async fn copy(dsn: &str) -> Result<()> {
    let (mut client, _) = connect(dsn).await?;
    let mut sink = pin!(client.copy_in("COPY t FROM STDIN").await?);
    let lines: String = (2000..7000).map(|i| format!("{i}\tcopied\n")).collect();
    sink.send(std::io::Cursor::new(lines.clone().into_bytes())).await?;
    equal(sink.finish().await?, 5000)?;
    let transaction = client.transaction().await?;
    let sql = "COPY (SELECT * FROM t WHERE name = 'copied' ORDER BY id) TO STDOUT";
    let found: Vec<_> = transaction.copy_out(sql).await?.try_collect().await?;
    equal(found.concat(), lines.into_bytes())
}

async fn cancel(dsn: &str) -> Result<()> {
    let (client, _) = connect(dsn).await?;
    let token = client.cancel_token();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        token.cancel_query(NoTls).await
    });
    refused(client.query("SELECT pg_sleep(60)", &[]).await, &SqlState::QUERY_CANCELED)?;
    equal(client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0), 1)
}

async fn notify(dsn: &str) -> Result<()> {
    let (client, mut notifications) = connect(dsn).await?;
    client.batch_execute("LISTEN tokio").await?;
    let (other, _) = connect(dsn).await?;
    other.batch_execute("NOTIFY tokio, 'hello'").await?;
    let heard = tokio::time::timeout(Duration::from_secs(20), notifications.recv()).await?;
    equal(heard.as_deref(), Some("hello"))
}

async fn show(client: &Client) -> Result<String> {
    Ok(client.query_one("SHOW TimeZone", &[]).await?.get(0))
}

async fn settings(dsn: &str) -> Result<()> {
    let ((client, _), (other, _)) = (connect(dsn).await?, connect(dsn).await?);
    let normal = show(&other).await?;
    client.batch_execute("SET TimeZone TO 'Asia/Tokyo'").await?;
    for _ in 0..20 {
        equal(show(&client).await?, "Asia/Tokyo")?;
        equal(show(&other).await?, normal.as_str())?;
    }
    Ok(())
}

async fn temporary(dsn: &str) -> Result<()> {
    let ((client, _), (other, _)) = (connect(dsn).await?, connect(dsn).await?);
    client.batch_execute("CREATE TEMP TABLE mine AS SELECT 7 AS a").await?;
    refused(other.query("SELECT * FROM mine", &[]).await, &SqlState::UNDEFINED_TABLE)?;
    equal(client.query_one("SELECT a FROM mine", &[]).await?.get::<_, i32>(0), 7)
}

async fn large(dsn: &str) -> Result<()> {
    let (client, _) = connect(dsn).await?;
    let row = client.query_one("SELECT repeat('x', 5000000)", &[]).await?;
    equal(row.get::<_, &str>(0).len(), 5_000_000)?;
    equal(client.query("SELECT generate_series(1, 100000)", &[]).await?.len(), 100_000)
}
