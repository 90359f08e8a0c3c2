//! Addresses as people write them.

use std::fmt;

use ipnet::IpNet;

use super::parts::Addresses;
use super::reader::Item;
use super::value::{Value, parsed};
use crate::upstream::Target;

/// Where PostgreSQL listens when nobody says otherwise.
const POSTGRESQL_PORT: u16 = 5432;
/// The port of poolers in most installations.
pub(super) const PROXY_PORT: u16 = 6432;

/// An address at which clients are awaited.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listen(pub(super) Target);

/// The address of a server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Server(pub(super) Target);

/// Where Redis listens when nobody says otherwise.
const REDIS_PORT: u16 = 6379;
/// Where Patroni's REST API listens in most installations.
const PATRONI_PORT: u16 = 8008;
/// Where collectors take OTLP by HTTP unless a URL says otherwise (the OTLP specification, "OTLP/HTTP default port").
const OTLP_PORT: u16 = 4318;
/// Databases of a Redis server are numbered from 0; few have more than 16.
const MAX_DATABASE: u32 = 1 << 20;

/// A Redis or Valkey server, and the number of a database of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RedisUrl(pub(super) Target, pub(super) u32);

/// Where Patroni's REST API is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PatroniUrl(pub(super) Target);

/// Where a collector of spans is, and what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Where it listens.
    pub target: Target,
    /// The path of its URL.
    pub path: String,
}

impl std::fmt::Display for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", show(&self.target), self.path)
    }
}

/// Reads `host:port`, `[::1]:port`, `/directory:port`, or any of them without a port. The error says what is
/// wrong.
fn parse(text: &str, default_port: u16) -> Result<Target, String> {
    let wrong =
        |why: &str| format!("\"{text}\" is not an address such as \"10.0.0.1:5432\": {why}");
    if text.contains("://") {
        return Err(wrong("leave out the scheme"));
    }
    if text.contains(char::is_whitespace) || text.contains('\0') {
        return Err(wrong("it contains a blank"));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => {
                let port = port.strip_prefix(':').ok_or_else(|| wrong("after ] comes :port"))?;
                (host, Some(port))
            }
            None => return Err(wrong("the ] is missing")),
        },
        None if text.matches(':').count() > 1 => {
            return Err(wrong("write an IPv6 address in brackets, as in \"[::1]:5432\""));
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(wrong("the host is missing"));
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong("the port must be 0 to 65535"))?,
        None => default_port,
    };
    Ok(Target { host: host.to_owned(), port })
}

/// Reads an address to listen at; port 0 lets the system choose.
pub(super) fn parse_listen(text: &str) -> Result<Listen, String> {
    if let Some(port) = text.strip_prefix("*:") {
        return Err(format!(
            "write \"0.0.0.0:{port}\" or \"[::]:{port}\" to listen at every address"
        ));
    }
    parse(text, PROXY_PORT).map(Listen)
}

/// Reads the address of a server.
pub(super) fn parse_server(text: &str) -> Result<Server, String> {
    let target = parse(text, POSTGRESQL_PORT)?;
    if target.port == 0 {
        return Err(format!("\"{text}\" is not the address of a server: the port must not be 0"));
    }
    Ok(Server(target))
}

/// Reads `redis://host:port/database`. The text is not in what is said of it when there may be a password in it.
pub(super) fn parse_redis(text: &str) -> Result<RedisUrl, String> {
    if text.contains('@') {
        return Err("leave user and password out of the URL: they are keys of their own".to_owned());
    }
    let wrong =
        |why: &str| format!("\"{text}\" is not a URL such as \"redis://10.0.0.1:6379/0\": {why}");
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("redis:// is missing"))?;
    match scheme {
        "redis" | "valkey" => {}
        "rediss" | "valkeys" => return Err(wrong("TLS is not supported")),
        _ => return Err(wrong("it must begin with redis://")),
    }
    let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
    let target = parse(server, REDIS_PORT)?;
    if target.port == 0 {
        return Err(wrong("the port must not be 0"));
    }
    let database = match database {
        "" => 0,
        number => number
            .parse()
            .ok()
            .filter(|number| *number <= MAX_DATABASE)
            .ok_or_else(|| wrong("after the / comes the number of a database"))?,
    };
    Ok(RedisUrl(target, database))
}

/// Reads `http://host:port/path`; without a path, as OTLP has it.
pub(super) fn parse_collector(text: &str) -> Result<Collector, String> {
    let wrong =
        |why: &str| format!("\"{text}\" is not a URL such as \"http://127.0.0.1:4318\": {why}");
    if text.contains('@') {
        return Err("leave user and password out of the URL".to_owned());
    }
    if text.starts_with("https://") {
        return Err(wrong(
            "TLS is not supported; let a collector on this machine pass the spans on",
        ));
    }
    let rest = text.strip_prefix("http://").ok_or_else(|| wrong("it must begin with http://"))?;
    let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = if path.is_empty() { "v1/traces" } else { path };
    if path.contains(|c: char| !c.is_ascii_graphic() || "?#".contains(c)) {
        return Err(wrong("a path has no blanks, no ? and no #"));
    }
    let target = parse(server, OTLP_PORT)?;
    if target.port == 0 || target.socket().is_some() {
        return Err(wrong("there must be a host, and its port must not be 0"));
    }
    Ok(Collector { target, path: format!("/{path}") })
}

/// Reads `http://host:port`. The text is not in what is said of it when there may be a password in it.
pub(super) fn parse_patroni(text: &str) -> Result<PatroniUrl, String> {
    if text.contains('@') {
        let why = "leave user and password out of the URL: the cluster's state is for all to read";
        return Err(why.to_owned());
    }
    let wrong =
        |why: &str| format!("\"{text}\" is not a URL such as \"http://10.0.0.1:8008\": {why}");
    let (scheme, server) = text.split_once("://").ok_or_else(|| wrong("http:// is missing"))?;
    match scheme {
        "http" => {}
        "https" => return Err(wrong("TLS is not supported")),
        _ => return Err(wrong("it must begin with http://")),
    }
    let server = server.strip_suffix('/').unwrap_or(server);
    if server.contains(['/', '?', '#']) {
        return Err(wrong("leave out everything but host and port"));
    }
    let target = parse(server, PATRONI_PORT)?;
    if target.port == 0 {
        return Err(wrong("the port must not be 0"));
    }
    Ok(PatroniUrl(target))
}

/// Writes what [`parse`] reads.
pub(crate) fn show(target: &Target) -> String {
    let Target { host, port } = target;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether only clients of this machine can reach it.
pub(super) fn is_local(target: &Target) -> bool {
    let loopback = |address: std::net::IpAddr| address.is_loopback();
    target.host.starts_with('/')
        || target.host == "localhost"
        || target.host.parse().is_ok_and(loopback)
}

impl Value for Listen {
    fn read(item: &Item<'_>) -> Option<Listen> {
        parsed(item, "an address such as \"127.0.0.1:6432\"", parse_listen)
    }

    fn kind() -> String {
        "address".to_owned()
    }

    fn show(&self) -> String {
        format!("\"{}\"", show(&self.0))
    }
}

impl Value for Server {
    fn read(item: &Item<'_>) -> Option<Server> {
        parsed(item, "an address such as \"10.0.0.1:5432\"", parse_server)
    }

    fn kind() -> String {
        "address".to_owned()
    }

    fn show(&self) -> String {
        format!("\"{}\"", show(&self.0))
    }
}

/// Reads `local`, a network, or an address, which is the smallest network. A network is written by its first address: one
/// with more bits may have been meant for a single client.
fn parse_addresses(text: &str) -> Result<Addresses, String> {
    if text == "local" {
        return Ok(Addresses::Local);
    }
    let wrong =
        || format!("\"{text}\" is not an address, a network such as \"10.0.0.0/8\", or \"local\"");
    let network = match text.parse::<std::net::IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse::<IpNet>().map_err(|_| wrong())?,
    };
    if network != network.trunc() {
        let meant = network.trunc();
        return Err(format!("\"{text}\" has bits beyond its mask; the network is \"{meant}\""));
    }
    Ok(Addresses::Network(network))
}

impl Value for Addresses {
    fn read(item: &Item<'_>) -> Option<Addresses> {
        parsed(item, "an address, a network, or \"local\"", parse_addresses)
    }

    fn kind() -> String {
        "address, network or \"local\"".to_owned()
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addresses::Local => f.write_str("local"),
            Addresses::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            Addresses::Network(network) => write!(f, "{network}"),
        }
    }
}

impl Value for RedisUrl {
    fn read(item: &Item<'_>) -> Option<RedisUrl> {
        parsed(item, "a URL such as \"redis://127.0.0.1:6379/0\"", parse_redis)
    }

    fn kind() -> String {
        "URL".to_owned()
    }

    fn show(&self) -> String {
        format!("\"redis://{}/{}\"", show(&self.0), self.1)
    }
}

impl Value for Collector {
    fn read(item: &Item<'_>) -> Option<Collector> {
        parsed(item, "a URL such as \"http://127.0.0.1:4318\"", parse_collector)
    }

    fn kind() -> String {
        "URL".to_owned()
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Value for PatroniUrl {
    fn read(item: &Item<'_>) -> Option<PatroniUrl> {
        parsed(item, "a URL such as \"http://127.0.0.1:8008\"", parse_patroni)
    }

    fn kind() -> String {
        "URL".to_owned()
    }

    fn show(&self) -> String {
        format!("\"http://{}\"", show(&self.0))
    }
}
