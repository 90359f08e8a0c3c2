//! Databases and their hosts: clusters.

use super::accounts::Accounts;
use super::clients::MODES;
use super::{Import, Named};
use crate::cli::import::document;
use crate::config::show_address;
use crate::upstream::Target;

/// The name of the only cluster, and of the one that has all other databases.
const MAIN: &str = "main";
/// Where databases are whose names are not known.
const ANY: &str = "*";

/// Hosts that databases share: a primary and its standbys.
struct Group {
    nodes: Vec<String>,
    databases: Vec<String>,
}

impl Import<'_> {
    /// `[cluster.NAME]`.
    pub(super) fn clusters(&mut self, accounts: &Accounts) {
        let mut groups = Vec::<Group>::new();
        for named in std::mem::take(&mut self.databases) {
            if self.group(&mut groups, &named) {
                self.databases.push(named);
            }
        }
        if groups.is_empty() && self.mistakes.is_empty() {
            let message = "[databases] names no database that has a host".to_owned();
            self.mistakes.push(crate::config::Mistake::general("howdah import", message));
        }
        let mut names = Vec::<String>::new();
        let alone = groups.len() == 1;
        for group in &groups {
            let first = group.databases.first().map_or(ANY, String::as_str);
            let mut name = if alone || first == ANY { MAIN } else { first }.to_owned();
            while names.contains(&name) {
                name.push('_');
            }
            self.cluster(&name, group, accounts);
            names.push(name);
        }
    }

    /// Puts a database to others that have one of its hosts. False: it is left out.
    fn group(&mut self, groups: &mut Vec<Group>, named: &Named) -> bool {
        let Some(nodes) = self.nodes(named) else { return false };
        let real = named.get("dbname").unwrap_or(&named.name).to_owned();
        let (shared, others): (Vec<Group>, Vec<Group>) = std::mem::take(groups)
            .into_iter()
            .partition(|group| group.nodes.iter().any(|node| nodes.contains(node)));
        *groups = others;
        if let Some(other) = groups.iter().find(|group| group.databases.contains(&real)) {
            let (here, there) = (other.nodes.join(", "), nodes.join(", "));
            let text = format!(
                "left out: {real} is at {here} already; if {there} are standbys of it, add them to the nodes of its \
                 cluster, and reads go there"
            );
            self.note(&named.place, format!("{}: {text}", named.name));
            groups.extend(shared);
            return false;
        }
        if real != named.name {
            let text = format!("a database has one name here: clients must ask for {real}");
            self.note(&named.place, format!("{}: {text}", named.name));
        }
        let mut group = Group { nodes: Vec::new(), databases: Vec::new() };
        for Group { nodes, databases } in shared {
            group.nodes.extend(nodes);
            group.databases.extend(databases);
        }
        for node in nodes {
            if !group.nodes.contains(&node) {
                group.nodes.push(node);
            }
        }
        if !group.databases.contains(&real) {
            group.databases.push(real);
        }
        groups.push(group);
        true
    }

    /// The addresses of a database. None where there is none that can be used.
    fn nodes(&mut self, named: &Named) -> Option<Vec<String>> {
        let Ok(port) = named.get("port").unwrap_or("5432").parse::<u16>() else {
            let message = format!("{}: the port must be 1 to 65535", named.name);
            self.mistakes.push(named.place.mistake(message));
            return None;
        };
        let sockets = self.text("unix_socket_dir");
        let hosts = named.get("host").unwrap_or(sockets).split(',').map(str::trim);
        let hosts: Vec<String> = hosts.filter(|host| !host.is_empty()).map(str::to_owned).collect();
        let (abstract_ones, hosts): (Vec<_>, Vec<_>) =
            hosts.into_iter().partition(|host| host.starts_with('@'));
        if !abstract_ones.is_empty() || hosts.is_empty() {
            let text =
                format!("{}: its host cannot be used: name an address or a directory", named.name);
            self.note(&named.place, text);
        }
        if hosts.len() > 1 {
            let text = "its hosts must be one primary and its standbys; reads go to standbys";
            self.note(&named.place, format!("{}: {text}", named.name));
        }
        let address = |host: String| show_address(&Target { host, port });
        let mut nodes: Vec<String> = hosts.into_iter().map(address).collect();
        nodes.dedup();
        Some(nodes).filter(|nodes| !nodes.is_empty())
    }

    fn cluster(&mut self, name: &str, group: &Group, accounts: &Accounts) {
        let header = format!("cluster.{}", document::name(name));
        let table = self.document.table(&format!("[{header}]"));
        table.set("nodes", group.nodes.clone(), "");
        table.set("databases", group.databases.clone(), "[databases]");
        let known = group.databases.iter().find(|database| *database != ANY);
        let database = known.map_or("postgres", String::as_str);
        let role = accounts.somebody();
        let user = role.as_ref().map_or("postgres", |role| role.name.as_str());
        let table = self.document.table(&format!("[{header}.monitor]"));
        table.set("user", user, "a role of its own is better").set("database", database, "");
        if let Some(password) = role.as_ref().and_then(|role| role.password.as_ref()) {
            table.set("password", password.reveal(), "");
        } else {
            self.notes.push(format!(
                "{header}.monitor: servers are watched by {user}, whose password is not known: state one that can \
                 log in, which needs no privileges"
            ));
        }
        if group.nodes.iter().any(|node| !node.starts_with('/')) {
            self.server_tls(&header);
        }
    }

    fn server_tls(&mut self, cluster: &str) {
        let mode = match self.word("server_tls_sslmode", &MODES) {
            "disable" => return,
            "allow" => "prefer",
            other => other,
        };
        let authorities = self.path("server_tls_ca_file").filter(|_| mode.starts_with("verify"));
        let own = self.path("server_tls_cert_file").zip(self.path("server_tls_key_file"));
        let oldest = self.oldest_tls("server_tls_protocols");
        let from = self.from("server_tls_sslmode");
        let table = self.document.table(&format!("[{cluster}.tls]"));
        table.set("mode", mode, &from);
        if let Some(authorities) = authorities {
            table.set("ca_file", authorities.display().to_string(), "server_tls_ca_file");
        }
        if let Some((cert, key)) = own {
            table.set("cert_file", cert.display().to_string(), "server_tls_cert_file");
            table.set("key_file", key.display().to_string(), "server_tls_key_file");
        }
        if let Some(oldest) = oldest {
            table.set("min_version", oldest, "server_tls_protocols");
        }
    }
}
