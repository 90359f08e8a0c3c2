//! Which rule is for a client (pg_hba.conf's order: the first that fits).

use howdah_wire::backend::ErrorReport;

use crate::config::{Addresses, Rule, RuleTls};
use crate::frontend::{Caller, ClientHello};

/// The first rule that fits a client.
pub(super) fn first<'a>(
    rules: &'a [Rule],
    client: &ClientHello,
    caller: Caller<'_>,
) -> Option<&'a Rule> {
    rules.iter().find(|rule| fits(rule, client, caller))
}

fn fits(rule: &Rule, client: &ClientHello, caller: Caller<'_>) -> bool {
    let named = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let from = |addresses: &Addresses| addresses.contain(caller.address);
    let encrypted = match rule.tls {
        RuleTls::Allow => true,
        RuleTls::Require => caller.encrypted,
        RuleTls::Disable => !caller.encrypted,
    };
    encrypted
        && named(&rule.users, &client.user)
        && named(&rule.databases, &client.database)
        && (rule.addresses.is_empty() || rule.addresses.iter().any(from))
}

/// For a client that no rule fits (auth.c, `ClientAuthentication`).
pub(super) fn none(client: &ClientHello, caller: Caller<'_>) -> ErrorReport {
    let message = format!("no rule for {}", described(client, caller));
    ErrorReport::fatal(b"28000", &message).hint("Rules are in the proxy's configuration, [[rule]].")
}

/// For a client that a rule rejects.
pub(super) fn rejected(client: &ClientHello, caller: Caller<'_>) -> ErrorReport {
    let message = format!("a rule rejects connection for {}", described(client, caller));
    ErrorReport::fatal(b"28000", &message)
}

fn described(client: &ClientHello, caller: Caller<'_>) -> String {
    let host = caller.address.map_or("[local]".to_owned(), |ip| ip.to_canonical().to_string());
    let encryption = if caller.encrypted { "SSL encryption" } else { "no encryption" };
    let ClientHello { user, database, .. } = client;
    format!("host \"{host}\", user \"{user}\", database \"{database}\", {encryption}")
}
