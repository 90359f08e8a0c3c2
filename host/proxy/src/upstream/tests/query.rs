use bytes::BytesMut;
use howdah_wire::backend::{
    CommandComplete, DataRow, ErrorReport, NotificationResponse, ParameterStatus, ReadyForQuery,
    RowDescription, TransactionStatus,
};
use howdah_wire::frontend::{Query, tag};

use super::{Peer, against, far, login, near};
use crate::upstream::{Client, KeyCache, QueryError};

/// Runs a client that has been let in.
async fn with<T>(client: impl AsyncFnOnce(Client) -> T, server: impl AsyncFnOnce(Peer)) -> T {
    let connected = async |target| {
        Client::connect(&target, &login(None), far(), &KeyCache::default()).await.unwrap()
    };
    against(
        async |target| client(connected(target).await).await,
        async |mut peer| {
            peer.let_in().await;
            server(peer).await;
        },
    )
    .await
}

async fn expect(peer: &mut Peer, sql: &str) {
    let (tag, body) = peer.hear().await.unwrap();
    assert_eq!((tag, Query::read(&body).unwrap().text), (tag::QUERY, sql.as_bytes()));
}

fn done(out: &mut BytesMut) {
    CommandComplete { tag: b"SELECT 1" }.write(out);
    ReadyForQuery { status: TransactionStatus::Idle }.write(out);
}

fn answer(value: Option<&str>, out: &mut BytesMut) {
    RowDescription::write(&[("a", 25, -1, 0), ("b", 25, -1, 0)], out);
    DataRow::write([Some(&b"x"[..]), value.map(str::as_bytes)].into_iter(), out);
    done(out);
}

#[tokio::test]
async fn rows_and_errors_come_back() {
    with(
        async |mut client| {
            let rows = client.query("SELECT 1", far()).await.unwrap();
            assert_eq!(rows, [[Some("x".to_owned()), None]]);
            let error = client.query("SELECT 1/0", far()).await.unwrap_err();
            let QueryError::Refused(report) = error else { panic!("{error:?}") };
            assert_eq!(report.sqlstate(), b"22012");
            let rows = client.query("SELECT 2", far()).await.unwrap();
            assert_eq!(rows, [[Some("x".to_owned()), Some("2".to_owned())]]);
        },
        async |mut peer| {
            expect(&mut peer, "SELECT 1").await;
            peer.say(|out| answer(None, out)).await;
            expect(&mut peer, "SELECT 1/0").await;
            peer.say(|out| {
                ErrorReport::error(b"22012", "division by zero").write(out);
                ReadyForQuery { status: TransactionStatus::Idle }.write(out);
            })
            .await;
            expect(&mut peer, "SELECT 2").await;
            peer.say(|out| answer(Some("2"), out)).await;
        },
    )
    .await;
}

/// The answer of one query must never be taken for that of another.
#[tokio::test]
async fn a_client_whose_answer_is_outstanding_is_of_no_use() {
    with(
        async |mut client| {
            let slow = client.query("SELECT pg_sleep(9)", near()).await;
            assert!(matches!(slow, Err(QueryError::Timeout)), "{slow:?}");
            let next = client.query("SELECT 1", far()).await;
            assert!(matches!(next, Err(QueryError::Lost(_))), "{next:?}");
        },
        async |mut peer| {
            expect(&mut peer, "SELECT pg_sleep(9)").await;
            assert_eq!(peer.hear().await, None, "nothing else is sent");
        },
    )
    .await;
}

#[tokio::test]
async fn what_a_server_says_unasked_disturbs_nothing() {
    with(
        async |mut client| {
            client.query("SELECT 0", far()).await.unwrap();
            // A wait that sees no end, dropped in the middle of a message.
            let waited = tokio::time::timeout_at(near(), client.ended()).await;
            assert!(waited.is_err());
            client.query("SELECT 1", far()).await.unwrap();
            let last = client.ended().await.unwrap();
            assert_eq!(last.sqlstate(), b"57P01");
            let next = client.query("SELECT 1", far()).await;
            assert!(matches!(next, Err(QueryError::Lost(_))), "{next:?}");
        },
        async |mut peer| {
            expect(&mut peer, "SELECT 0").await;
            let mut out = BytesMut::new();
            done(&mut out);
            ParameterStatus { name: b"TimeZone", value: b"UTC" }.write(&mut out);
            NotificationResponse { pid: 1, channel: b"c", payload: b"" }.write(&mut out);
            let (now, later) = out.split_at(out.len() - 3);
            peer.send(now).await;
            expect(&mut peer, "SELECT 1").await;
            peer.send(later).await;
            peer.say(|out| answer(None, out)).await;
            peer.say(|out| ErrorReport::fatal(b"57P01", "shutting down").write(out)).await;
            peer.gone().await;
        },
    )
    .await;
}

#[tokio::test]
async fn the_end_is_noticed_without_last_words() {
    with(async |mut client| assert_eq!(client.ended().await, None), async |_| ()).await;
}

#[tokio::test]
async fn a_server_that_answers_unasked_is_left() {
    with(
        async |mut client| {
            client.query("SELECT 0", far()).await.unwrap();
            assert_eq!(client.ended().await, None);
        },
        async |mut peer| {
            expect(&mut peer, "SELECT 0").await;
            peer.say(done).await;
            peer.say(done).await;
            peer.gone().await;
        },
    )
    .await;
}

#[tokio::test]
async fn results_are_bounded() {
    with(
        async |mut client| {
            let error = client.query("SELECT", far()).await.unwrap_err();
            assert!(error.to_string().contains("too large"), "{error}");
        },
        async |mut peer| {
            expect(&mut peer, "SELECT").await;
            let mut row = BytesMut::new();
            DataRow::write([Some(&[b'x'; 1 << 20][..])].into_iter(), &mut row);
            for _ in 0..=64 {
                peer.send(&row).await;
            }
            peer.gone().await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_broken_answer_loses_the_connection() {
    for bytes in
        [&b"D\0\0\0\x06\0\x01"[..], b"D\0\0\0\x02", b"D\x7f\0\0\0", b"E\0\0\0\x05x", b"C\0\0"]
    {
        with(
            async |mut client| {
                let error = client.query("SELECT", far()).await.unwrap_err();
                assert!(matches!(error, QueryError::Lost(_)), "{error:?}");
            },
            async |mut peer| {
                expect(&mut peer, "SELECT").await;
                peer.send(bytes).await;
            },
        )
        .await;
    }
}
