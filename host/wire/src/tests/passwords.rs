//! SCRAM against the RFC and against itself; MD5.

use crate::limits::MAX_SCRAM_ITERATIONS;
use crate::md5;
use crate::scram::{Binding, Client, ClientError, ClientKeys, Server, ServerError, Verifier};

const SALT: &[u8] = b"0123456789abcdef";

/// A whole exchange; what the server and then the client say of it.
fn exchange(
    verifier: &Verifier,
    password: &[u8],
) -> Result<(Result<(), ClientError>, ClientKeys), ServerError> {
    bound_exchange(verifier, password, [Binding::Impossible; 2])
}

/// The same, where client and server are bound to something.
fn bound_exchange(
    verifier: &Verifier,
    password: &[u8],
    bindings: [Binding<'_>; 2],
) -> Result<(Result<(), ClientError>, ClientKeys), ServerError> {
    let mut client = Client::new("client-nonce", bindings[0]);
    let mut server = Server::new(verifier, "server-nonce", bindings[1]);
    let first = server.first(client.first().as_bytes())?;
    let challenge = client.challenge(first.as_bytes()).unwrap();
    let keys = ClientKeys::derive(password, &challenge.salt, challenge.iterations);
    let last = client.last(first.as_bytes(), &challenge, &keys);
    let (outcome, recovered) = server.last(last.as_bytes())?;
    Ok((client.verify(outcome.as_bytes()), recovered))
}

/// RFC 7677, section 3.
#[test]
fn the_exchange_of_the_rfc() {
    let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
    let verifier = Verifier::derive(b"pencil", salt, 4096);
    let mut server = Server::new(&verifier, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", Binding::Impossible);
    let first = server.first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    assert_eq!(
        first,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let (outcome, _) = server.last(last).unwrap();
    assert_eq!(outcome, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/// The same with channel binding, of which there is no published example: the proofs were calculated apart, by a program
/// that gives those of the RFC without it.
#[test]
fn the_exchange_of_the_rfc_with_channel_binding() {
    let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
    let verifier = Verifier::derive(b"pencil", salt, 4096);
    // SHA-256 of "a certificate".
    let hash = b"\x81\xac\xd7\x62\x14\x0f\xa6\x92\xa1\x42\x82\x2d\x2f\xbe\x4d\xc6\
        \xf5\x4b\xca\xa5\x01\xf6\x8a\xb3\x7e\x5a\xee\xd0\xba\xfe\x4d\x99";
    let binding = Binding::EndPoint(hash);
    let mut server = Server::new(&verifier, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", binding);
    let first = "p=tls-server-end-point,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    server.first(first.as_bytes()).unwrap();
    let last = b"c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsgazXYhQPppKhQoItL75NxvVLyqUB9oqzflru0Lr+TZk=,\
        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=PENeW0ZRP0k2JAhJJzTQl6wCR49nsIUYgRfs2eOh/Rg=";
    let (outcome, _) = server.last(last).unwrap();
    assert_eq!(outcome, "v=jajuR8gMfQCRyUaioUEgzSfToF94H11QVgmHwaAozaI=");
}

#[test]
fn a_login_may_be_bound_to_its_connection() {
    use Binding::{EndPoint, Impossible, Unused};
    let verifier = Verifier::derive(b"secret", SALT, 1);
    let login = |client, server| bound_exchange(&verifier, b"secret", [client, server]).err();
    assert_eq!(login(EndPoint(b"ours"), EndPoint(b"ours")), None);
    assert_eq!(login(Impossible, Unused), None, "it is offered to a client that cannot");
    assert_eq!(login(Unused, Impossible), None, "a client could, and is not offered it");
    let somebody_between = login(EndPoint(b"theirs"), EndPoint(b"ours"));
    assert_eq!(somebody_between, Some(ServerError::Binding));
    assert_eq!(login(Unused, Unused), Some(ServerError::Negotiation), "the offer was hidden");
    for contradicting in [
        login(EndPoint(b"ours"), Unused),
        login(EndPoint(b"ours"), Impossible),
        login(Unused, EndPoint(b"ours")),
        login(Impossible, EndPoint(b"ours")),
    ] {
        assert_eq!(contradicting, Some(ServerError::Contradiction));
    }
    let first = |text: &str| Server::new(&verifier, "s", EndPoint(b"ours")).first(text.as_bytes());
    assert_eq!(first("p=tls-unique,,n=,r=c"), Err(ServerError::BindingType));
    assert_eq!(first("p=tls-server-end-point,a=admin,n=,r=c"), Err(ServerError::Malformed));
}

#[test]
fn the_right_password_is_proven_both_ways() {
    let verifier = Verifier::derive(b"secret", SALT, 4096);
    let (client, keys) = exchange(&verifier, b"secret").unwrap();
    assert_eq!(client, Ok(()));
    assert!(keys == ClientKeys::derive(b"secret", SALT, 4096), "the keys open the next server");
}

#[test]
fn a_wrong_password_is_refused() {
    let verifier = Verifier::derive(b"secret", SALT, 4096);
    assert_eq!(exchange(&verifier, b"Secret").err(), Some(ServerError::Proof));
    assert_eq!(exchange(&verifier, b"").err(), Some(ServerError::Proof));
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let mock = |user, secret: &[u8]| Verifier::mock(user, secret, 4096);
    assert_eq!(exchange(&mock("nobody", b"s"), b"secret").err(), Some(ServerError::Proof));
    let known = Verifier::derive(b"secret", SALT, 4096);
    let first = |verifier: &Verifier| {
        Server::new(verifier, "n", Binding::Impossible).first(b"n,,n=,r=c").unwrap()
    };
    assert_eq!(first(&mock("nobody", b"s")), first(&mock("nobody", b"s")), "the salt stays");
    assert_ne!(first(&mock("nobody", b"s")), first(&mock("noone", b"s")));
    assert_ne!(first(&mock("nobody", b"s")), first(&mock("nobody", b"t")));
    assert_eq!(first(&mock("nobody", b"s")).len(), first(&known).len());
}

#[test]
fn passwords_are_prepared_as_postgresql_does() {
    let fits = |kept: &str, given: &[u8]| {
        exchange(&Verifier::derive(kept.as_bytes(), SALT, 1), given).is_ok()
    };
    assert!(fits("IX", "\u{2168}".as_bytes()), "compatibility characters fold");
    assert!(fits("a b", "a\u{a0}b".as_bytes()), "spaces are spaces");
    assert!(fits("ab", "a\u{ad}b".as_bytes()), "soft hyphens vanish");
    assert!(!fits("", "\u{ad}".as_bytes()), "nothing is not a password");
    let raw = |password: &[u8]| exchange(&Verifier::derive(password, SALT, 1), password).is_ok();
    assert!(raw(b"\xff\xfe"), "what is not UTF-8 is taken as it is");
    assert!(raw(b"\x07bell"), "and so are prohibited characters");
}

#[test]
fn a_hostile_server_gets_no_work_out_of_us() {
    let client = Client::new("abc", Binding::Impossible);
    let challenge = |text: &str| client.challenge(text.as_bytes()).err();
    let many = u64::from(MAX_SCRAM_ITERATIONS) + 1;
    assert_eq!(challenge(&format!("r=abcd,s=c2FsdA==,i={many}")), Some(ClientError::Iterations));
    assert_eq!(challenge("r=abcd,s=c2FsdA==,i=2147483648"), Some(ClientError::Iterations));
    assert_eq!(challenge("r=abcd,s=c2FsdA==,i=0"), Some(ClientError::Iterations));
    assert_eq!(challenge("r=abcd,s=c2FsdA==,i=-1"), Some(ClientError::Malformed));
    assert_eq!(challenge("r=abcd,s=,i=4096"), Some(ClientError::Malformed));
    assert_eq!(challenge("r=abc,s=c2FsdA==,i=4096"), Some(ClientError::Nonce));
    assert_eq!(challenge("r=xyzw,s=c2FsdA==,i=4096"), Some(ClientError::Nonce));
    assert_eq!(challenge("m=x,r=abcd,s=c2FsdA==,i=4096"), Some(ClientError::Malformed));
    let salt = "QUFB".repeat(1000);
    assert_eq!(challenge(&format!("r=abcd,s={salt},i=4096")), Some(ClientError::Malformed));
    let nonce = "d".repeat(2000);
    assert_eq!(challenge(&format!("r=abc{nonce},s=c2FsdA==,i=1")), Some(ClientError::Malformed));
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let verifier = Verifier::derive(b"secret", SALT, 1);
    let mut client = Client::new("c", Binding::Impossible);
    let server = || Server::new(&verifier, "s", Binding::Impossible);
    let first = server().first(client.first().as_bytes()).unwrap();
    let zeros = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(client.verify(zeros.as_bytes()), Err(ClientError::Malformed), "too early");
    let challenge = client.challenge(first.as_bytes()).unwrap();
    client.last(first.as_bytes(), &challenge, &ClientKeys::derive(b"secret", SALT, 1));
    assert_eq!(client.verify(zeros.as_bytes()), Err(ClientError::Signature));
    assert_eq!(client.verify(b"e=other-error"), Err(ClientError::Malformed));
    assert_eq!(client.verify(b"v="), Err(ClientError::Signature));
}

#[test]
fn a_hostile_client_is_refused() {
    let verifier = Verifier::derive(b"secret", SALT, 1);
    let server = || Server::new(&verifier, "s", Binding::Impossible);
    let first = |text: &str| server().first(text.as_bytes()).err();
    assert_eq!(first("p=tls-server-end-point,,n=,r=c"), Some(ServerError::Contradiction));
    assert_eq!(first("n,a=admin,n=,r=c"), Some(ServerError::Malformed));
    assert_eq!(first("n,,m=ext,n=,r=c"), Some(ServerError::Malformed));
    assert_eq!(first("n,,n=,r="), Some(ServerError::Malformed));
    assert_eq!(first("n,,n=,r=a b"), Some(ServerError::Malformed));
    assert_eq!(first(&format!("n,,n=,r={}", "c".repeat(2000))), Some(ServerError::Malformed));
    assert_eq!(first("y,,n=,r=c"), None);

    let last = |text: &str| {
        let mut server = server();
        server.first(b"n,,n=,r=c").unwrap();
        server.last(text.as_bytes()).err()
    };
    let proof = "p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(last(&format!("c=biws,r=cs,{proof}")), Some(ServerError::Proof));
    assert_eq!(last(&format!("c=eSws,r=cs,{proof}")), Some(ServerError::Contradiction));
    assert_eq!(last(&format!("c=biws,r=cx,{proof}")), Some(ServerError::Malformed));
    assert_eq!(last("c=biws,r=cs,p=AAAA"), Some(ServerError::Malformed));
    assert_eq!(last("c=biws,r=cs"), Some(ServerError::Malformed));
    let early = server().last(format!("c=biws,r=s,{proof}").as_bytes()).err();
    assert_eq!(early, Some(ServerError::Malformed));
}

#[test]
fn verifiers_have_the_form_of_postgresql() {
    let verifier = Verifier::derive(b"secret", SALT, 4096);
    let text = verifier.to_string();
    assert!(text.starts_with("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$"), "{text}");
    assert!(Verifier::parse(&text) == Ok(verifier.clone()));
    assert_eq!(format!("{verifier:?}"), "Verifier(…)", "logs do not show it");
    for broken in [
        "",
        "secret",
        "md5d41d8cd98f00b204e9800998ecf8427e",
        &text.replace("4096", "0"),
        &text.replace("4096", "99999999999"),
        &text.replace("MDEy", "!!!!"),
        &text[..text.len() - 4],
        &text.replace("MDEyMzQ1Njc4OWFiY2RlZg==", ""),
    ] {
        assert!(Verifier::parse(broken).is_err(), "{broken}");
    }
}

/// The inner hash is what `pg_authid` holds for this user and password.
#[test]
fn md5_is_that_of_postgresql() {
    let answer = md5::answer(&md5::hash("postgres", b"postgres"), [1, 2, 3, 4]);
    assert_eq!(answer, "md568be9ed08db75f318087ab337aaea044");
    assert_ne!(answer, md5::answer(&md5::hash("postgres", b"postgres"), [1, 2, 3, 5]));
}
