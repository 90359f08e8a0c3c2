//! PgBouncer's pg_hba.conf, as rules.

use std::path::Path;

use ipnet::IpNet;
use toml::Value;

use super::Import;
use super::ini::{Place, located};
use crate::config::{MAX_FILE, read_text};

/// A word, and whether it was quoted: `"all"` is a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    quoted: bool,
}

/// What becomes of a line.
struct Rule {
    tls: Option<&'static str>,
    databases: Vec<String>,
    users: Vec<String>,
    address: Option<String>,
    method: &'static str,
    /// What is otherwise than the line says.
    note: Option<String>,
}

impl Import<'_> {
    /// The rules of `auth_hba_file`. Passwords in clear become MD5 where a user has no more than such a hash.
    pub(super) fn rules(&mut self, md5: bool) {
        let Some(entry) = self.ini.setting("auth_hba_file").filter(|entry| !entry.value.is_empty())
        else {
            return self.mistake_of("auth_type", "auth_type: hba needs auth_hba_file".to_owned());
        };
        let file = located(&entry.place.file, &entry.value);
        let text = match read_text(&file, MAX_FILE) {
            Ok(text) => text,
            Err(why) => return self.mistakes.push(entry.place.mistake(why)),
        };
        let mut none = true;
        for (line, number) in text.lines().zip(1..) {
            let place = Place { file: file.as_path().into(), line: number };
            match rule(line, &file, md5) {
                Ok(None) => {}
                Ok(Some(rule)) => {
                    none = false;
                    if let Some(note) = &rule.note {
                        self.note(&place, note);
                    }
                    self.rule(&rule);
                }
                Err(Wrong::Line(why)) => self.mistakes.push(place.mistake(why)),
                Err(Wrong::Here(why)) => {
                    self.note(&place, format!("left out: {why}; see what becomes of its clients"));
                }
            }
        }
        if none {
            self.closed("no line of auth_hba_file became a rule");
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let others = rule.address.as_deref() != Some("local") && rule.tls != Some("disable");
        let admits = !matches!(rule.method, "cert" | "reject");
        let certified = others && admits && self.must_be_certified();
        let table = self.document.another("[[rule]]");
        table.set("method", rule.method, "");
        if !rule.databases.is_empty() {
            table.set("databases", rule.databases.clone(), "");
        }
        if !rule.users.is_empty() {
            table.set("users", rule.users.clone(), "");
        }
        if let Some(address) = &rule.address {
            table.set("addresses", vec![Value::from(address.as_str())], "");
        }
        if certified {
            table.set("tls", "require", "").set("client_cert", "verify-ca", "client_tls_sslmode");
        } else if let Some(tls) = rule.tls {
            table.set("tls", tls, "");
        }
    }
}

/// Why a line becomes no rule.
enum Wrong {
    /// It is no line of such a file.
    Line(String),
    /// It cannot be said here.
    Here(String),
}

/// Reads a line; none when there is nothing in it.
fn rule(line: &str, file: &Path, md5: bool) -> Result<Option<Rule>, Wrong> {
    let fields = fields(line).map_err(Wrong::Line)?;
    let mut fields = fields.iter();
    let Some(kind) = fields.next() else { return Ok(None) };
    let tls = match word(kind) {
        "local" | "host" => None,
        "hostssl" => Some("require"),
        "hostnossl" => Some("disable"),
        other => return Err(Wrong::Line(format!("unknown kind of connection \"{other}\""))),
    };
    let mut next =
        |what: &str| fields.next().ok_or_else(|| Wrong::Line(format!("the {what} is missing")));
    let databases =
        names(next("database")?, file, &["sameuser", "samerole", "samegroup", "replication"])?;
    let users = names(next("user")?, file, &[])?;
    let address = match word(kind) {
        "local" => Some("local".to_owned()),
        _ => address(word(next("address")?), &mut fields)?,
    };
    let method = fields.next().ok_or_else(|| Wrong::Line("the method is missing".to_owned()))?;
    let (method, note) = method_of(word(method), tls == Some("require"), md5);
    let options: Vec<&str> = fields.map(|field| word(field)).collect();
    let options = (!options.is_empty())
        .then(|| format!("{} has no equivalent: see user.NAME.cert_names", options.join(" ")));
    let note = note.or(options);
    Ok(Some(Rule { tls, databases, users, address, method, note }))
}

/// The first word of a field.
fn word(field: &[Word]) -> &str {
    field.first().map_or("", |word| word.text.as_str())
}

/// Splits a line into fields, and each of them into words.
fn fields(line: &str) -> Result<Vec<Vec<Word>>, String> {
    let mut fields = Vec::new();
    let mut rest = line.trim_start();
    let mut goes_on = false;
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (text, behind) = quoted.split_once('"').ok_or("the second quote is missing")?;
                (Word { text: text.to_owned(), quoted: true }, behind)
            }
            None => {
                let ends = |c: char| c.is_whitespace() || c == ',' || c == '#';
                let (text, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                (Word { text: text.to_owned(), quoted: false }, behind)
            }
        };
        if goes_on && let Some(last) = fields.last_mut() {
            Vec::push(last, word);
        } else {
            fields.push(vec![word]);
        }
        let behind = behind.trim_start();
        let after = behind.strip_prefix(',');
        goes_on = after.is_some();
        rest = after.unwrap_or(behind).trim_start();
    }
    Ok(fields)
}

/// Names of databases or users; none for all.
fn names(field: &[Word], file: &Path, unknown: &[&str]) -> Result<Vec<String>, Wrong> {
    let mut names = Vec::new();
    for Word { text, quoted } in field {
        match text.as_str() {
            "all" if !quoted => return Ok(Vec::new()),
            special if !quoted && unknown.contains(&special) => {
                return Err(Wrong::Here(format!("there is no {special} in rules")));
            }
            group if !quoted && group.starts_with('+') => {
                return Err(Wrong::Here(format!("groups such as {group} are not known")));
            }
            list if !quoted && list.starts_with('@') => {
                let path = located(file, &list[1..]);
                let text = read_text(&path, MAX_FILE).map_err(Wrong::Line)?;
                for line in text.lines() {
                    names.extend(
                        fields(line).map_err(Wrong::Line)?.concat().into_iter().map(|w| w.text),
                    );
                }
            }
            name => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

/// A network, which may be written with a mask of its own; none for all.
fn address<'a>(
    text: &str,
    fields: &mut impl Iterator<Item = &'a Vec<Word>>,
) -> Result<Option<String>, Wrong> {
    if text == "all" {
        return Ok(None);
    }
    if text == "samehost" || text == "samenet" {
        return Err(Wrong::Here(format!("{text} is not known: write the network")));
    }
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => {
            let ip = text.parse().map_err(|_| {
                Wrong::Here(format!("\"{text}\" is not an address: names of hosts are not known"))
            })?;
            let mask = fields.next().and_then(|field| word(field).parse().ok());
            let network = mask.and_then(|mask| IpNet::with_netmask(ip, mask).ok());
            network.ok_or_else(|| Wrong::Line(format!("behind {text} must stand its mask")))?
        }
    };
    Ok(Some(network.trunc().to_string()))
}

/// Our method, and what is otherwise.
fn method_of(method: &str, encrypted: bool, md5: bool) -> (&'static str, Option<String>) {
    match method {
        "trust" => ("trust", None),
        "reject" => ("reject", None),
        "md5" => ("md5", None),
        "scram-sha-256" => ("scram-sha-256", None),
        "cert" if encrypted => ("cert", None),
        "password" | "plain" if encrypted => ("password", None),
        "password" | "plain" => {
            let other = if md5 { "md5" } else { "scram-sha-256" };
            (other, Some(format!("passwords in clear need hostssl: it is {other} now")))
        }
        other => {
            ("reject", Some(format!("there is no method {other}: these clients are refused now")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn told(line: &str) -> String {
        match rule(line, Path::new("pg_hba.conf"), false) {
            Ok(None) => "nothing".to_owned(),
            Ok(Some(Rule { tls, databases, users, address, method, note })) => format!(
                "{} {databases:?} {users:?} {} {method}{}",
                tls.unwrap_or("-"),
                address.as_deref().unwrap_or("-"),
                if note.is_some() { " with a note" } else { "" }
            ),
            Err(Wrong::Line(_)) => "mistake".to_owned(),
            Err(Wrong::Here(_)) => "left out".to_owned(),
        }
    }

    #[test]
    fn lines_become_rules() {
        for (line, expected) in [
            ("  # all", "nothing"),
            ("local all all trust # why", "- [] [] local trust"),
            (
                "host a,\"all\", b \"x y\" 10.0.0.1/8 md5",
                "- [\"a\", \"all\", \"b\"] [\"x y\"] 10.0.0.0/8 md5",
            ),
            ("host all all 10.1.2.3 255.255.255.0 md5", "- [] [] 10.1.2.0/24 md5"),
            ("hostssl all all all cert map=x", "require [] [] - cert with a note"),
            ("hostssl all all ::1/128 password", "require [] [] ::1/128 password"),
            ("hostnossl all all all password", "disable [] [] - scram-sha-256 with a note"),
            ("local all all peer", "- [] [] local reject with a note"),
            ("host sameuser all all md5", "left out"),
            ("host all +x all md5", "left out"),
            ("host all all db.example.com md5", "left out"),
            ("host all all 10.0.0.1 md5", "mistake"),
            ("host all all", "mistake"),
            ("hostx all all all md5", "mistake"),
            ("host \"all all all md5", "mistake"),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
    }
}
