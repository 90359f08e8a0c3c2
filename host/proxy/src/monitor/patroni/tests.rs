#![allow(clippy::unwrap_used)]

use howdah_cluster::NodeSpec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::upstream::Login;

const MAIN: ClusterId = ClusterId(0);

/// What one who asks makes of these bytes, which a member sends and then ends the connection, or not.
async fn told(bytes: Vec<u8>, ends: bool, patience: Duration) -> Result<Answer, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let member = Target { host: "127.0.0.1".into(), port };
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.unwrap();
        assert!(request[..read].starts_with(b"GET /cluster HTTP/1.1\r\n"));
        // One who has heard enough closes the connection.
        let _ = stream.write_all(&bytes).await;
        if !ends {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        answer = ask(&member, patience) => answer,
        () = async { server.await; std::future::pending().await } => unreachable!(),
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

const FAR: Duration = Duration::from_secs(20);

#[tokio::test]
async fn odd_answers_are_no_answers() {
    let unlike = |answer: Result<Answer, String>| answer.unwrap_err();
    let odd = |bytes: Vec<u8>| told(bytes, true, FAR);
    assert!(unlike(odd(http("200 OK", "{\"members\": 7}")).await).contains("makes no sense"));
    assert!(unlike(odd(http("200 OK", "<html>")).await).contains("makes no sense"));
    assert!(
        unlike(odd(http("503 Service Unavailable", "{\"members\": []}")).await).contains("503")
    );
    assert!(unlike(odd(b"garbage\r\n\r\n".to_vec()).await).contains("HTTP"));
    let huge = format!("{{\"members\": [], \"x\": \"{}\"}}", "x".repeat(MAX_ANSWER));
    assert!(unlike(odd(http("200 OK", &huge)).await).contains("limit"));
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"mem".to_vec();
    let near = Duration::from_millis(100);
    assert!(unlike(told(endless, false, near).await).contains("in time"));
    // Who ends too early has not answered.
    odd(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}".to_vec()).await.unwrap_err();
    assert_eq!(
        odd(http("200 OK", "{\"members\": [], \"more\": 1}")).await.unwrap().members.len(),
        0
    );
}

fn monitor(addresses: &[(&str, &str, u16)]) -> Arc<Monitor> {
    let login = |(_, host, port): &(&str, &str, u16)| {
        let (user, database) = ("postgres".to_owned(), "postgres".to_owned());
        let login = Login { user, database, password: None, parameters: Vec::new() };
        (Target { host: (*host).into(), port: *port }.into(), login)
    };
    let watch = Watch {
        name: "main".into(),
        interval: FAR,
        timeout: FAR,
        patroni: Vec::new(),
        definitions: true,
    };
    let spec = |(name, ..): &(&str, &str, u16)| NodeSpec {
        name: (*name).into(),
        labels: Vec::new(),
        cluster: MAIN,
    };
    let (specs, logins) = (addresses.iter().map(spec), addresses.iter().map(login));
    Monitor::new(vec![watch], specs.collect(), logins.collect(), Arc::default())
}

#[test]
fn the_leader_is_found_by_its_address_or_its_name() {
    let monitor = monitor(&[("a", "10.0.0.1", 5432), ("b", "10.0.0.2", 5432)]);
    let said = |members: &str| {
        let answer = serde_json::from_str(&format!("{{\"members\": [{members}]}}")).unwrap();
        leader(&monitor, MAIN, &answer)
    };
    let replica = "{\"name\": \"a\", \"role\": \"replica\", \"lag\": \"unknown\"}";
    assert_eq!(said(replica), Leader::Changes(None));
    let lead = |name: &str, host: &str, state: &str| {
        said(&format!(
            "{replica}, {{\"name\": \"{name}\", \"role\": \"leader\", \"host\": \"{host}\", \
             \"port\": 5432, \"state\": \"{state}\"}}"
        ))
    };
    assert_eq!(lead("x", "10.0.0.2", "running"), Leader::Runs(NodeId(1)));
    assert_eq!(lead("x", "10.0.0.2", "stopping"), Leader::Changes(Some(NodeId(1))));
    assert_eq!(lead("b", "inside.example", "running"), Leader::Runs(NodeId(1)));
    assert_eq!(lead("x", "10.9.9.9", "running"), Leader::Changes(None));
    let standby = "{\"name\": \"a\", \"role\": \"standby_leader\", \"state\": \"running\"}";
    assert_eq!(said(standby), Leader::Changes(None), "it leads replicas of another cluster");
}

#[tokio::test]
async fn members_are_asked_until_one_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let member = |port| Target { host: "127.0.0.1".into(), port };
    // Nobody listens on port 1.
    let mut members = [member(1), member(port)];
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&http("200 OK", "{\"members\": []}")).await.unwrap();
        stream
    };
    let (answer, _stream) = tokio::join!(ask_any(&mut members, FAR), server);
    answer.unwrap();
    assert_eq!(members[0], member(port), "it is asked first the next time");
    assert!(ask_any(&mut [member(1)], FAR).await.unwrap_err().starts_with("127.0.0.1:1: "));
    assert!(ask_any(&mut [], FAR).await.is_err());
}
