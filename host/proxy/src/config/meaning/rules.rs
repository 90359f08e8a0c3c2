use howdah_wire::md5;

use super::Step;
use crate::config::parts::{
    Addresses, Auth, AuthMethod, AuthQuery, ClientCert, Rule, RuleTls, User,
};
use crate::config::tls::{Tls, TlsMode};
use crate::config::value::At;
use crate::config::written;

impl Step<'_> {
    /// How clients are let in that no rule is for.
    pub(super) fn auth(
        &self,
        written: &written::Auth,
        query: Option<AuthQuery>,
        rules: &[Rule],
        users: &[(At<String>, User)],
        tls: Option<&Tls>,
    ) -> Auth {
        let asks = query.is_some() || users.iter().any(|(_, user)| user.password.is_some());
        let default = if asks { AuthMethod::ScramSha256 } else { AuthMethod::Trust };
        let method = written.method.as_ref().map_or(default, |method| method.value);
        if let Some(stated) = &written.method {
            let wrong = |message| self.mistakes.add(stated.at, message);
            match method {
                _ if !rules.is_empty() => {
                    wrong("auth.method: there are rules, which say it instead")
                }
                AuthMethod::Trust => {}
                AuthMethod::Cert if !tls.is_some_and(Tls::asks_for_certificates) => {
                    wrong("auth.method: certificates need ca_file in [tls]");
                }
                AuthMethod::Cert => {}
                AuthMethod::Reject => wrong("auth.method: nobody could come in"),
                AuthMethod::Password if tls.is_none_or(|tls| tls.mode != TlsMode::Require) => {
                    wrong("auth.method: passwords in clear need tls.mode = \"require\"");
                }
                _ if users.is_empty() && query.is_none() => {
                    wrong("nobody could come in: list users with passwords, as in [user.app]");
                }
                _ => {}
            }
        }
        if rules.is_empty() {
            self.passwords_suffice(method, query.is_some(), users);
        }
        let looks_at_names = |rule: &Rule| {
            rule.method == AuthMethod::Cert || rule.client_cert == Some(ClientCert::VerifyFull)
        };
        let without_rules = rules.is_empty() && method == AuthMethod::Cert;
        if !without_rules && !rules.iter().any(looks_at_names) {
            self.no_certificates(users);
        }
        Auth { method, trust_remote: written.trust_remote, query }
    }

    /// Notes users whose certificates nobody looks at.
    fn no_certificates(&self, users: &[(At<String>, User)]) {
        for (name, _) in users.iter().filter(|(_, user)| !user.cert_names.is_empty()) {
            let message = format!(
                "user {}: cert_names are for the method cert, or client_cert = \"verify-full\"",
                name.value
            );
            self.mistakes.add(name.at, message);
        }
    }

    /// Notes users that could never come in.
    fn passwords_suffice(&self, method: AuthMethod, asks: bool, users: &[(At<String>, User)]) {
        for (name, user) in users {
            let name_of = &name.value;
            match (method, &user.password) {
                (AuthMethod::Trust | AuthMethod::Cert, _) => {}
                (_, None) if !asks => self.mistakes.add_missing(
                    name.at,
                    format!("user {name_of}: a password is missing, which {method} requires"),
                ),
                (AuthMethod::ScramSha256, Some(password)) if md5::is_hash(password.reveal()) => {
                    let message = format!(
                        "user {name_of}: scram-sha-256 cannot use an MD5 hash; state the password or a verifier"
                    );
                    self.mistakes.add(name.at, message);
                }
                _ => {}
            }
        }
    }

    /// Where users are looked up. Without a user who asks, nothing else may be said of it.
    pub(super) fn auth_query(
        &self,
        At { at: table, value: written }: At<written::AuthQuery>,
    ) -> Option<AuthQuery> {
        let said = written != written::AuthQuery::default();
        let password =
            self.own_password(table, written.password, written.password_file, written.password_env);
        let Some(user) = written.user else {
            if said {
                self.mistakes.add_missing(table, "auth.query: user is required");
            }
            return None;
        };
        Some(AuthQuery {
            user: user.value,
            password,
            database: written.database,
            sql: written.sql,
            keep: written.keep,
        })
    }

    pub(super) fn rules(&self, written: Vec<At<written::Rule>>, tls: Option<&Tls>) -> Vec<Rule> {
        written.into_iter().filter_map(|rule| self.rule(rule, tls)).collect()
    }

    fn rule(
        &self,
        At { at, value: written }: At<written::Rule>,
        tls: Option<&Tls>,
    ) -> Option<Rule> {
        let Some(method) = written.method else {
            self.mistakes.add_missing(at, "rule: method is required");
            return None;
        };
        if method.value == AuthMethod::Password && written.tls != RuleTls::Require {
            self.mistakes.add(method.at, "rule: passwords in clear need tls = \"require\"");
        }
        let client_cert = written.client_cert.as_ref();
        if let (AuthMethod::Cert | AuthMethod::Reject, Some(stated)) = (method.value, client_cert) {
            let message = format!("rule: client_cert adds nothing to the method {}", method.value);
            self.mistakes.add(stated.at, message);
        }
        let by_method = (method.value == AuthMethod::Cert).then_some(method.at);
        if let Some(at) = client_cert.map(|stated| stated.at).or(by_method) {
            if written.tls != RuleTls::Require {
                self.mistakes.add(at, "rule: certificates need tls = \"require\"");
            }
            if !tls.is_some_and(Tls::asks_for_certificates) {
                self.mistakes.add(at, "rule: certificates need ca_file in [tls]");
            }
        }
        Some(Rule {
            method: method.value,
            databases: written.databases,
            users: written.users,
            addresses: written.addresses,
            tls: written.tls,
            client_cert: written.client_cert.map(|stated| stated.value),
        })
    }
}

/// What is allowed in rules, and yet may not be meant.
pub(super) fn warnings(rules: &[Rule], tls: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let all = |rule: &Rule| {
        rule.databases.is_empty()
            && rule.users.is_empty()
            && rule.addresses.is_empty()
            && rule.tls == RuleTls::Allow
    };
    if let Some(last) = rules.iter().position(all)
        && last + 1 < rules.len()
    {
        warnings
            .push(format!("rules behind number {} are never reached: it fits everybody", last + 1));
    }
    for (rule, number) in rules.iter().zip(1..) {
        if rule.tls == RuleTls::Require && !tls {
            warnings.push(format!("rule {number} fits nobody: without [tls] no client encrypts"));
        }
        let near = !rule.addresses.is_empty() && rule.addresses.iter().all(is_near);
        if rule.method == AuthMethod::Trust && rule.client_cert.is_none() && !near {
            let what = "clients of other machines are let in without a password";
            warnings.push(format!("rule {number}: {what}"));
        }
    }
    warnings
}

/// Whether only clients of this machine come from there.
fn is_near(addresses: &Addresses) -> bool {
    match addresses {
        Addresses::Local => true,
        Addresses::Network(network) => {
            network.network().is_loopback() && network.broadcast().is_loopback()
        }
    }
}
