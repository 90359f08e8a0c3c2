//! Hundreds of hostile openings at once: each is sent away, none comes in, and others are served meanwhile.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::BytesMut;
use howdah_e2e::{Running, shared, socket, try_connect, value};
use howdah_wire::Version;
use howdah_wire::frontend::{Password, Query, SaslInitialResponse, SaslResponse};
use howdah_wire::startup::{write_cancel, write_ssl_request, write_startup};

/// How many of each kind: whole ones, and as many that differ from them.
const VARIANTS: usize = 60;

fn bytes(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.to_vec()
}

/// What clients may begin with, and what they must not.
fn seeds() -> Vec<Vec<u8>> {
    let startup = bytes(|out| {
        let parameters =
            [("user", "app"), ("database", "postgres"), ("options", "-c work_mem=1MB")];
        write_startup(out, Version::V3_0, parameters.into_iter());
    });
    let scram = bytes(|out| {
        SaslInitialResponse { mechanism: b"SCRAM-SHA-256", data: Some(b"n,,n=,r=abcdefgh") }
            .write(out);
    });
    let last = bytes(|out| SaslResponse { data: b"c=biws,r=abcdefgh,p=AAAA" }.write(out));
    let query = bytes(|out| Query { text: b"SELECT 1" }.write(out));
    let ssl = bytes(write_ssl_request);
    vec![
        startup.clone(),
        [&startup[..], &scram].concat(),
        [&startup[..], &scram, &last].concat(),
        [&startup[..], &query].concat(),
        [&startup[..], &bytes(|out| Password { password: b"sesame" }.write(out))].concat(),
        [&ssl[..], &startup].concat(),
        [&ssl[..], &ssl].concat(),
        bytes(|out| write_cancel(out, 4_711, b"\x01\x02\x03\x04")),
        bytes(|out| {
            write_startup(
                out,
                Version::V3_2,
                [("user", "app"), ("replication", "true")].into_iter(),
            )
        }),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/1.1\r\nHost: db\r\n\r\n".to_vec(),
    ]
}

/// Numbers that are the same each time (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// Cut, doubled, with other bytes, or with another length.
fn spoiled(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut spoiled = seed.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(spoiled.len());
        match random.below(5) {
            0 => spoiled.truncate(at),
            1 => spoiled.extend_from_within(at..),
            2 if at < spoiled.len() => spoiled[at] ^= 1 << random.below(8),
            3 => spoiled.insert(at, random.below(256) as u8),
            _ => {
                for byte in spoiled.iter_mut().skip(at).take(4) {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
    spoiled
}

/// Sends an opening, and hears the proxy out. True: it was let in.
fn comes_in(port: u16, opening: &[u8], stays: bool) -> bool {
    let mut stream = socket(port);
    // It may have been sent away before it has said all.
    let _ = stream.write_all(opening);
    if !stays {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut heard = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut heard);
    heard.windows(9).any(|message| message == b"R\0\0\0\x08\0\0\0\0")
}

#[tokio::test]
async fn hostile_openings_come_to_nothing_and_disturb_nobody() {
    let proxy = Running::start(
        &shared().nodes(),
        "[limits]\nlogin_timeout = \"4s\"\nfailed_login_delay = \"0ms\"\n[user.app]\npassword = \"sesame\"\n\
         server_user = \"postgres\"\n",
    );
    proxy.wait_up(3);
    let port = proxy.port;
    let dsn = format!("host=127.0.0.1 port={port} user=app password=sesame dbname=postgres");
    let (over, served) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    let witness = async {
        let old = try_connect(&dsn).await.unwrap();
        while !over.load(Ordering::Relaxed) {
            let new = try_connect(&dsn).await.unwrap();
            for client in [&old, &new] {
                assert_eq!(value(client, "SELECT 41 + 1").await, "42");
            }
            served.fetch_add(1, Ordering::Relaxed);
        }
    };
    let attack = async {
        let mut random = Random(20_261_127);
        let seeds = seeds();
        let mut openings: Vec<(Vec<u8>, bool)> = Vec::new();
        for seed in &seeds {
            openings.push((seed.clone(), true));
            for n in 0..VARIANTS {
                openings.push((spoiled(seed, &mut random), n % 4 == 0));
            }
        }
        let attackers: Vec<_> = openings
            .into_iter()
            .map(|(opening, stays)| {
                tokio::task::spawn_blocking(move || (comes_in(port, &opening, stays), opening))
            })
            .collect();
        for attacker in attackers {
            let (came_in, opening) = attacker.await.unwrap();
            assert!(!came_in, "{}", opening.escape_ascii());
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(witness, attack);
    assert!(served.load(Ordering::Relaxed) > 0, "nobody was served meanwhile");
}

/// The umask of most processes would leave a socket to its owner.
#[tokio::test]
async fn every_user_of_the_machine_may_connect_to_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let text = format!(
        "listen = [\"127.0.0.1:0\", \"{path}:7000\"]\n[cluster.main]\nnodes = {:?}\n",
        shared().nodes()
    );
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(3);
    let socket = proxy.directory.path().join(".s.PGSQL.7000");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o777);
    let client = try_connect(&format!("host={path} port=7000 user=postgres")).await.unwrap();
    assert_eq!(value(&client, "SELECT 42").await, "42");
}
