//! Who may come in, how they prove who they are, and who they are to the servers.

use std::path::{Path, PathBuf};

use howdah_wire::md5;

use super::clients::is_local;
use super::ini::{Place, located};
use super::userlist::{self, Listed};
use super::{Import, Named};
use crate::cli::import::document;
use crate::config::{MAX_CLIENTS, MAX_POOL_SIZE};
use crate::upstream::Secret;

/// Beginning of a verifier, as in `pg_authid`.
const VERIFIER: &str = "SCRAM-SHA-256$";
const TYPES: [&str; 10] =
    ["md5", "scram-sha-256", "trust", "any", "plain", "password", "cert", "hba", "pam", "ldap"];

/// Who is known.
pub(super) struct Accounts {
    listed: Vec<Listed>,
    /// Who looks others up, and where that is said.
    pub(super) asks: Option<(String, Place)>,
    /// Who clients are to the servers of all databases, if they are all the same one.
    pub(super) forced: Option<Role>,
}

/// A role of the servers.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) password: Option<Secret>,
}

/// What is known of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Nothing,
    Plain,
    Md5,
    Verifier,
}

impl Form {
    fn of(password: &str) -> Form {
        match password {
            "" => Form::Nothing,
            hash if md5::is_hash(hash) => Form::Md5,
            verifier if verifier.starts_with(VERIFIER) => Form::Verifier,
            _ => Form::Plain,
        }
    }
}

impl Accounts {
    /// A password in clear, which servers take whatever they ask for.
    pub(super) fn plain(&self, user: &str) -> Option<Secret> {
        let listed = self.listed.iter().find(|listed| listed.name == user)?;
        let plain = Form::of(listed.password.reveal()) == Form::Plain;
        plain.then(|| listed.password.clone())
    }

    /// A role that can log in to servers, as far as is known.
    pub(super) fn somebody(&self) -> Option<Role> {
        let known =
            |name: &str| Some(Role { name: name.to_owned(), password: Some(self.plain(name)?) });
        let asks = || known(&self.asks.as_ref()?.0);
        let listed = || self.listed.iter().find_map(|listed| known(&listed.name));
        let forced = self.forced.clone().filter(|role| role.password.is_some());
        let named = || {
            let name = match (&self.asks, self.listed.first()) {
                (Some((name, _)), _) => name,
                (None, listed) => &listed?.name,
            };
            Some(Role { name: name.clone(), password: None })
        };
        forced.or_else(asks).or_else(listed).or_else(|| self.forced.clone()).or_else(named)
    }

    /// Whether servers may be given these users' passwords for methods that know only some forms.
    fn any(&self, form: Form) -> bool {
        self.listed.iter().any(|listed| Form::of(listed.password.reveal()) == form)
    }
}

impl Import<'_> {
    /// Reads who is known.
    pub(super) fn accounts(&mut self, userlist: Option<&Path>) -> Accounts {
        let named = || -> Option<PathBuf> {
            let entry = self.ini.setting("auth_file").filter(|entry| !entry.value.is_empty())?;
            Some(located(&entry.place.file, &entry.value))
        };
        let listed =
            match userlist.map(Path::to_owned).or_else(named).map(|file| userlist::read(&file)) {
                Some(Ok(listed)) => listed,
                Some(Err(mistakes)) => {
                    self.mistakes.extend(mistakes);
                    Vec::new()
                }
                None => Vec::new(),
            };
        let mut accounts = Accounts { listed, asks: self.asks(), forced: None };
        accounts.forced = self.forced(&accounts);
        accounts
    }

    /// Who looks users up.
    fn asks(&mut self) -> Option<(String, Place)> {
        let global = self.ini.setting("auth_user").filter(|entry| !entry.value.is_empty());
        if let Some(entry) = global {
            return Some((entry.value.clone(), entry.place.clone()));
        }
        let own = |named: &Named| Some((named.get("auth_user")?.to_owned(), named.place.clone()));
        let mut own = self.databases.iter().filter_map(own);
        let first = own.next()?;
        let others: Vec<Place> =
            own.filter(|(name, _)| *name != first.0).map(|(_, place)| place).collect();
        for place in others {
            self.note(&place, format!("auth_user: it is {} for all databases here", first.0));
        }
        Some(first)
    }

    /// The role that all databases name.
    fn forced(&mut self, accounts: &Accounts) -> Option<Role> {
        let role = |named: &Named| {
            let name = named.get("user")?.to_owned();
            let stated = named.get("password").map(|password| Secret::new(password.to_owned()));
            let password = stated.or_else(|| accounts.plain(&name));
            Some(Role { name, password })
        };
        let roles: Vec<Option<Role>> = self.databases.iter().map(role).collect();
        let first = roles.first()?.clone();
        if roles.iter().all(|role| *role == first) {
            return first;
        }
        let places = self.databases.iter().zip(&roles).filter_map(|(named, role)| {
            Some((named.place.clone(), format!("{}: user={}", named.name, role.as_ref()?.name)))
        });
        for (place, what) in places.collect::<Vec<_>>() {
            let text = "has no equivalent, because not all databases have the same: clients log in under their own \
                 names; user.NAME.server_user is for all databases of a user";
            self.note(&place, format!("{what} {text}"));
        }
        None
    }

    /// `[auth]`, `[[rule]]`, `[auth.query]` and `[user.NAME]`.
    pub(super) fn entrance(&mut self, accounts: &Accounts) {
        let method = self.word("auth_type", &TYPES);
        let method = match method {
            "trust" | "any" => "trust",
            "plain" | "password" => self.clear(accounts),
            other => other,
        };
        let asks = accounts.asks.is_some();
        let usable = |form| match method {
            "md5" | "password" => form != Form::Nothing,
            "scram-sha-256" => matches!(form, Form::Plain | Form::Verifier),
            _ => true,
        };
        let (users, useless): (Vec<&Listed>, Vec<&Listed>) =
            accounts.listed.iter().partition(|listed| usable(Form::of(listed.password.reveal())));
        for listed in useless {
            let why = match Form::of(listed.password.reveal()) {
                Form::Nothing => "there is no password".to_owned(),
                _ => format!("{method} cannot use an MD5 hash"),
            };
            self.note(&listed.place, format!("user {}: left out: {why}", listed.name));
        }
        let nobody =
            users.is_empty() && !asks && matches!(method, "md5" | "scram-sha-256" | "password");
        match method {
            "hba" => self.rules(accounts.any(Form::Md5)),
            "pam" | "ldap" => self.closed(&format!("there is no {method}")),
            _ if nobody => self.closed("no user has a password"),
            _ => self.method(method, !users.is_empty() || asks),
        }
        self.query(accounts);
        self.users(accounts, &users);
    }

    /// Passwords in clear are taken within TLS only.
    fn clear(&mut self, accounts: &Accounts) -> &'static str {
        if self.must_encrypt() {
            return "password";
        }
        let method = if accounts.any(Form::Md5) { "md5" } else { "scram-sha-256" };
        self.note_of(
            "auth_type",
            format!("passwords in clear need tls.mode = \"require\"; it is {method} now"),
        );
        method
    }

    fn method(&mut self, method: &str, listed: bool) {
        let remote = !is_local(self.text("listen_addr"));
        let from = self.from("auth_type");
        if method != "cert" && self.must_be_certified() {
            let local = self.document.another("[[rule]]").set("method", method, &from);
            local.set("addresses", vec!["local"], "");
            let others = self.document.another("[[rule]]").set("method", method, &from);
            others.set("tls", "require", "").set("client_cert", "verify-ca", "client_tls_sslmode");
        } else {
            let table = self.document.table("[auth]").set("method", method, &from);
            if remote && method == "trust" {
                table.set("trust_remote", true, "");
            }
        }
        if method != "trust" {
            return;
        }
        if remote {
            self.note_of("auth_type", "clients of other machines are let in without a password");
        }
        if !listed {
            self.note_of(
                "auth_type",
                "everybody is let in, and logs in to servers under the own name",
            );
        }
    }

    /// Where nobody can come in until somebody decides how.
    pub(super) fn closed(&mut self, why: &str) {
        self.document.another("[[rule]]").set("method", "reject", "until you decide: see [auth]");
        self.note_of(
            "auth_type",
            format!("{why}: every client is refused until you change [[rule]]"),
        );
    }

    fn query(&mut self, accounts: &Accounts) {
        let Some((user, place)) = &accounts.asks else { return };
        let database = self.lookup_database(place);
        let query = self.ini.setting("auth_query").filter(|entry| !entry.value.is_empty());
        let table = self.document.table("[auth.query]");
        table.set("user", user.as_str(), "auth_user");
        if let Some(password) = accounts.plain(user) {
            table.set("password", password.reveal(), "");
        }
        table.set("database", database.as_str(), "");
        if let Some(query) = query {
            table.set("sql", query.value.as_str(), "auth_query");
            let text = format!(
                "users are looked up in database {database} only, with search_path pg_catalog: \
                 name the schema of a function"
            );
            self.note(&query.place, format!("auth_query: {text}"));
        }
    }

    /// Where users are looked up: PgBouncer does it in each database.
    fn lookup_database(&mut self, place: &Place) -> String {
        let named = self.text("auth_dbname");
        let alias = self.databases.iter().find(|database| database.name == named);
        let real = |database: &Named| database.get("dbname").unwrap_or(&database.name).to_owned();
        if !named.is_empty() {
            return alias.map_or_else(|| named.to_owned(), real);
        }
        let mut all: Vec<String> =
            self.databases.iter().map(real).filter(|name| name != "*").collect();
        all.sort();
        all.dedup();
        match all.as_slice() {
            [one] => one.clone(),
            _ => {
                let text = "auth_user: users are looked up in one database; it is postgres now (auth.query.database)";
                self.note(place, text);
                "postgres".to_owned()
            }
        }
    }

    fn users(&mut self, accounts: &Accounts, users: &[&Listed]) {
        let settings = std::mem::take(&mut self.users);
        let everybody = self.whole("max_user_client_connections");
        for listed in users {
            let own = settings.iter().find(|named| named.name == listed.name);
            let header = format!("[user.{}]", document::name(&listed.name));
            let table = self.document.table(&header);
            if Form::of(listed.password.reveal()) != Form::Nothing {
                table.set("password", listed.password.reveal(), "");
            }
            self.user(&header, own, everybody);
            self.server_role(&header, &listed.name, accounts.forced.as_ref());
        }
        for named in settings.iter().filter(|named| !users.iter().any(|u| u.name == named.name)) {
            if accounts.asks.is_some() {
                let header = format!("[user.{}]", document::name(&named.name));
                self.document.table(&header);
                self.user(&header, Some(named), everybody);
            } else {
                self.note(
                    &named.place,
                    format!("user {}: left out: auth_file has no password", named.name),
                );
            }
        }
        if let (Some(role), Some((_, place))) = (&accounts.forced, &accounts.asks) {
            let text = format!(
                "users that are looked up log in under their own names, not as {}",
                role.name
            );
            self.note(place, format!("auth_user: {text}"));
        }
    }

    fn user(&mut self, header: &str, own: Option<&Named>, everybody: u64) {
        let everybody = i64::try_from(everybody).ok().filter(|most| *most > 0);
        let mode = own.and_then(|named| self.own_mode(named));
        let size = own.and_then(|named| self.own_size(named, "pool_size", MAX_POOL_SIZE));
        let key = "max_user_client_connections";
        let clients = own.and_then(|named| self.own_size(named, key, MAX_CLIENTS)).or(everybody);
        let table = self.document.table(header);
        if let Some(mode) = mode {
            table.set("pool_mode", mode, "");
        }
        if let Some(size) = size {
            table.set("pool_size", size, "");
        }
        if let Some(clients) = clients {
            table.set("max_clients", clients, "");
        }
    }

    /// Who a user is to the servers.
    fn server_role(&mut self, header: &str, user: &str, forced: Option<&Role>) {
        let Some(role) = forced else { return };
        let table = self.document.table(header);
        if role.name != user {
            table.set("server_user", role.name.as_str(), "user= of all databases");
        }
        if let Some(password) = &role.password {
            table.set("server_password", password.reveal(), "");
        }
    }
}
