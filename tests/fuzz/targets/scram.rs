//! Both sides of SCRAM against a peer that says anything. Nobody gets in, and no server is believed.
//! The input is up to three messages, separated by line feeds.
#![no_main]

use howdah_wire::scram::{Binding, Client, ClientKeys, Server, Verifier};
use libfuzzer_sys::fuzz_target;

/// So that the fuzzer does not spend its time in PBKDF2.
const ITERATIONS: u32 = 1;

fuzz_target!(|data: &[u8]| {
    let mut messages = data.splitn(3, |b| *b == b'\n');
    let mut next = || messages.next().unwrap_or_default();
    let (first, last, text) = (next(), next(), next());
    for binding in [Binding::Impossible, Binding::Unused, Binding::EndPoint(b"a hash")] {
        hostile_client(first, last, binding);
        hostile_server(first, last, binding);
    }
    stored(text);
});

fn hostile_client(first: &[u8], last: &[u8], binding: Binding<'_>) {
    let verifier = Verifier::derive(b"a password", b"some salt", ITERATIONS);
    let mut server = Server::new(&verifier, "server", binding);
    let Ok(challenge) = server.first(first) else {
        assert!(server.last(last).is_err(), "in without a challenge");
        return;
    };
    assert!(challenge.ends_with(",i=1"));
    assert!(server.last(last).is_err(), "in without the password");
}

fn hostile_server(first: &[u8], last: &[u8], binding: Binding<'_>) {
    let mut client = Client::new("client", binding);
    assert!(client.verify(last).is_err(), "believed before it was asked");
    let Ok(challenge) = client.challenge(first) else { return };
    assert!((1..=howdah_wire::limits::MAX_SCRAM_ITERATIONS).contains(&challenge.iterations));
    let keys = ClientKeys::derive(b"a password", &challenge.salt, ITERATIONS);
    let answer = client.last(first, &challenge, &keys);
    assert!(answer.starts_with("c=") && answer.contains(",r=client"));
    assert!(client.verify(last).is_err(), "believed without the password");
}

fn stored(text: &[u8]) {
    let Some(verifier) = str::from_utf8(text).ok().and_then(|text| Verifier::parse(text).ok())
    else {
        return;
    };
    assert!(
        Verifier::parse(&verifier.to_string()) == Ok(verifier),
        "another verifier after writing"
    );
}
