use bytes::BytesMut;
use howdah_wire::Version;
use howdah_wire::backend::{ErrorReport, NegotiateProtocolVersion};
use howdah_wire::startup::Startup;

use super::LoginMethod;

/// Longest name of a user or database: NAMEDATALEN − 1. PostgreSQL cuts longer ones; a proxy that decides by
/// name had better not guess which one was meant.
const MAX_NAME: usize = 63;

/// A client that has been let in, or asks to be.
#[derive(Debug)]
pub struct ClientHello {
    /// Who it is.
    pub user: String,
    /// The database that it wants.
    pub database: String,
    /// All further start-up parameters.
    pub parameters: Vec<(String, String)>,
    /// What it asks for instead of queries: the value of the parameter `replication`, unless that means "no".
    pub replication: Option<String>,
    /// What it speaks.
    pub version: Version,
    /// How it has proven who it is.
    pub method: LoginMethod,
    /// What it has sent already.
    pub input: BytesMut,
    /// What it is to be told before anything else: that it has been let in.
    pub output: BytesMut,
}

/// The parameters of a start-up packet, sorted by what they are for.
#[derive(Default)]
struct Asked<'a> {
    user: &'a str,
    database: &'a str,
    parameters: Vec<(String, String)>,
    replication: Option<&'a str>,
    /// Names of protocol options, none of which we know.
    options: Vec<&'a [u8]>,
}

/// Reads a start-up packet, and makes the NegotiateProtocolVersion that it may need.
pub(super) fn hello(startup: &Startup<'_>) -> Result<(ClientHello, BytesMut), ErrorReport> {
    let asked = startup.version;
    let Some(version) = asked.negotiate() else {
        return Err(unsupported(asked));
    };
    let Asked { user, database, parameters, replication, options: unknown } = sort(startup)?;
    if user.is_empty() {
        let message = "no PostgreSQL user name specified in startup packet";
        return Err(ErrorReport::fatal(b"28000", message));
    }
    let database = if database.is_empty() { user } else { database };
    if user.len() > MAX_NAME || database.len() > MAX_NAME {
        return Err(ErrorReport::fatal(b"42622", "the name of the user or database is too long")
            .detail(&format!("The limit is {MAX_NAME} bytes, as in PostgreSQL.")));
    }
    let mut answer = BytesMut::new();
    if asked != version || !unknown.is_empty() {
        NegotiateProtocolVersion { version: version.code(), unknown }.write(&mut answer);
    }
    let (user, database) = (user.to_owned(), database.to_owned());
    let replication = replication.map(str::to_owned);
    let (method, input, output) = (LoginMethod::Trust, BytesMut::new(), BytesMut::new());
    let hello =
        ClientHello { user, database, parameters, replication, version, method, input, output };
    Ok((hello, answer))
}

/// PostgreSQL's words, which it has for requests out of place too (backend_startup.c).
pub(super) fn unsupported(asked: Version) -> ErrorReport {
    let message = format!("unsupported frontend protocol {asked}: server supports 3.0 to 3.2");
    ErrorReport::fatal(b"0A000", &message)
}

fn sort<'a>(startup: &Startup<'a>) -> Result<Asked<'a>, ErrorReport> {
    let mut asked = Asked::default();
    for (name, value) in startup.parameters() {
        let (Ok(text), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Err(ErrorReport::fatal(b"22021", "a start-up parameter is not valid UTF-8"));
        };
        match text {
            "user" => asked.user = value,
            "database" => asked.database = value,
            "replication" => asked.replication = Some(value).filter(|value| !is_off(value)),
            _ if !text.starts_with("_pq_.") => {
                asked.parameters.push((text.to_owned(), value.to_owned()));
            }
            _ if asked.options.contains(&name) => {}
            _ => asked.options.push(name),
        }
    }
    Ok(asked)
}

/// PostgreSQL's words for false (bool.c, `parse_bool`), without their abbreviations.
fn is_off(value: &str) -> bool {
    ["false", "off", "no", "0"].iter().any(|off| value.eq_ignore_ascii_case(off))
}
