use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use howdah_cluster::Catalog;
use howdah_decision::{Client, Facts, Rewrite, SessionDecision};
use howdah_policy::{Heard, PolicySpec, Source, Who};
use howdah_sql::{NoCatalog, Statement};
use serde_json::{Value, json};

use super::arguments::ExplainArguments;
use super::{Mistakes, all, chain, print_json};
use crate::config::Config;
use crate::monitor;
use crate::policies::show;
use crate::policies::trial::{Asked, Outcome, Trial, UNHURRIED};
use crate::policies::visible::Visible;
use crate::upstream::{KeyCache, Login, Secret};

/// The cluster of clients when there is no configuration: it has all databases.
const CLUSTER: &str = "main";

/// Everything that is told.
struct Explanation<'a> {
    sql: &'a str,
    session: (SessionDecision, Vec<Heard>),
    outcome: Option<Outcome>,
    specs: &'a [PolicySpec],
    who: Who,
    class: u32,
    extra: Facts,
}

/// Says what becomes of a statement.
pub(super) fn explain(
    arguments: &ExplainArguments,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut specs = chain(&arguments.files, arguments.config.as_deref(), &arguments.set)?;
    for spec in &mut specs {
        spec.limits.time = spec.limits.time.max(UNHURRIED);
    }
    let catalog = arguments.catalog.as_deref().map(catalog).transpose()?;
    let trial = Trial::new(specs.clone()).map_err(|errors| all(&errors))?;
    let who = who(arguments)?;
    let session = trial.open(&client(&who), &who.cluster);
    let admitted = match &session.0 {
        SessionDecision::Accept(admission) => Some(admission.class),
        SessionDecision::Refuse(_) => None,
    };
    let class = arguments.class.or(admitted).unwrap_or_default();
    let flags =
        [(arguments.extended, Facts::EXTENDED), (arguments.in_transaction, Facts::IN_TRANSACTION)];
    let set = flags.into_iter().filter(|(set, _)| *set);
    let extra = set.fold(Facts::NONE, |all, (_, flag)| all.with(flag));
    let catalog: &dyn howdah_sql::Catalog = match &catalog {
        Some(catalog) => catalog,
        None => &NoCatalog,
    };
    let ask = |_| {
        let (sql, who) = (arguments.sql.as_str(), who.clone());
        trial.ask(&Asked { sql, who, class, extra, catalog, parameters: None })
    };
    let outcome = admitted.map(ask);
    let sql = arguments.sql.as_str();
    let told = Explanation { sql, session, outcome, specs: &specs, who, class, extra };
    match arguments.json {
        true => print_json(&told.as_json(), out)?,
        false => told.print(out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn who(arguments: &ExplainArguments) -> anyhow::Result<Who> {
    let database = arguments.database.clone().unwrap_or_else(|| arguments.user.clone());
    let cluster = match (&arguments.cluster, &arguments.config) {
        (Some(cluster), _) => cluster.clone(),
        (None, None) => CLUSTER.to_owned(),
        (None, Some(path)) => {
            let config = Config::load(path).map_err(Mistakes)?;
            let home = config.cluster_of(&database).and_then(|i| config.clusters.get(i));
            home.with_context(|| {
                format!("no cluster of the configuration has database {database}")
            })?
            .name
            .clone()
        }
    };
    let (user, application_name) = (arguments.user.clone(), arguments.application.clone());
    Ok(Who { user, database, cluster, application_name })
}

fn client(who: &Who) -> Client {
    Client {
        id: 1,
        user: who.user.clone(),
        database: who.database.clone(),
        application_name: who.application_name.clone(),
        address: "127.0.0.1".to_owned(),
        parameters: Vec::new(),
    }
}

/// What a database says of its functions and views.
fn catalog(url: &str) -> anyhow::Result<Catalog> {
    let wrong = || anyhow!("--catalog: expected postgres://USER@HOST[:PORT]/DATABASE");
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let (login, rest) = rest.and_then(|rest| rest.rsplit_once('@')).ok_or_else(wrong)?;
    let (address, database) = rest.split_once('/').ok_or_else(wrong)?;
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(Secret::new(password.to_owned()))),
        None => (login, None),
    };
    if user.is_empty() || database.is_empty() || database.contains('?') {
        bail!(wrong());
    }
    let config = Config::from_nodes(&[address.to_owned()]).map_err(Mistakes)?;
    let cluster = config.clusters.first().ok_or_else(wrong)?;
    let node = cluster.nodes.first().ok_or_else(wrong)?;
    let login: Login = config.login(user, database, node).ok_or_else(wrong)?;
    let login = Login { password: password.or_else(|| login.password.clone()), ..login };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keys = KeyCache::default();
    let loaded =
        runtime.block_on(monitor::fetch_catalog(&cluster.endpoint(node), &login, &keys, 1));
    loaded.map_err(|error| anyhow!("--catalog: {address}: {error}"))
}

impl Explanation<'_> {
    fn statement(&self, sql: &str, statement: &Statement) -> Value {
        let Visible { literals, parameters, relations } = Visible::of(sql);
        json!({
            "kind": statement.kind.name(),
            "facts": self.facts(statement),
            "digest": format!("{:016x}", statement.digest),
            "statements": statement.statements,
            "parameters": statement.parameters,
            "types": parameters,
            "literals": literals,
            "relations": relations,
        })
    }

    fn facts(&self, statement: &Statement) -> Vec<&'static str> {
        statement.facts.with(self.extra).names().collect()
    }

    fn as_json(&self) -> Value {
        let heard = |heard: &[Heard]| -> Vec<Value> {
            let one = |one: &Heard| json!({ "policy": one.policy, "said": show::said(&one.said) });
            heard.iter().map(one).collect()
        };
        let (decision, asked) = &self.session;
        let tags = howdah_sql::tags(self.sql.as_bytes());
        let mut value = json!({
            "sql": self.sql,
            "session": { "decision": show::session(decision), "policies": heard(asked), "class": self.class },
            "tags": tags.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        if let Some(outcome) = &self.outcome {
            value["statement"] = self.statement(self.sql, &outcome.statement);
            let text = match &outcome.rewrite {
                Rewrite::Text(text) => Some(text),
                _ => None,
            };
            let rewritten = text.zip(outcome.rewritten.as_deref());
            value["rewrite"] = json!({
                "verdict": show::rewrite(&outcome.rewrite),
                "text": text,
                "statement": rewritten.map(|(text, statement)| self.statement(text, statement)),
                "remember": show::remember_name(outcome.rewrite_remembered),
                "policies": heard(&outcome.rewriting),
            });
            value["route"] = match &outcome.answer {
                None => Value::Null,
                Some(answer) => json!({
                    "decision": answer.verdict.decision.name(),
                    "details": show::decision(&answer.verdict.decision),
                    "policy": answer.policy.as_deref(),
                    "source": show::source(answer.source),
                    "remember": show::remember_name(answer.verdict.remember),
                    "policies": heard(&outcome.routing),
                }),
            };
            value["reason"] = json!(self.reason(outcome));
        }
        value
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.sql)?;
        let (decision, heard) = &self.session;
        if !heard.is_empty() {
            writeln!(out, "session   {}", show::session(decision))?;
            self.heard(out, heard)?;
        }
        let Some(outcome) = &self.outcome else { return Ok(()) };
        self.print_facts(out, self.sql, &outcome.statement)?;
        if !outcome.rewriting.is_empty() {
            writeln!(out, "rewrite   {}", show::rewrite(&outcome.rewrite))?;
            self.heard(out, &outcome.rewriting)?;
            writeln!(out, "kept      {}", show::remembered(outcome.rewrite_remembered))?;
        }
        if let (Some(rewritten), Rewrite::Text(text)) = (&outcome.rewritten, &outcome.rewrite) {
            self.print_facts(out, text, rewritten)?;
        }
        if let Some(answer) = &outcome.answer {
            writeln!(out, "route     {}", show::decision(&answer.verdict.decision))?;
            self.heard(out, &outcome.routing)?;
            writeln!(out, "kept      {}", show::remembered(answer.verdict.remember))?;
        }
        writeln!(out, "because   {}", self.reason(outcome))
    }

    fn print_facts(
        &self,
        out: &mut dyn Write,
        sql: &str,
        statement: &Statement,
    ) -> std::io::Result<()> {
        writeln!(out, "kind      {}", statement.kind.name())?;
        let facts = self.facts(statement);
        let facts = if facts.is_empty() { "none".to_owned() } else { facts.join(", ") };
        writeln!(out, "facts     {facts}")?;
        writeln!(out, "digest    {:016x}", statement.digest)?;
        for (key, value) in howdah_sql::tags(sql.as_bytes()) {
            writeln!(out, "tag       {key} = {value}")?;
        }
        for (word, them) in Visible::of(sql).lines() {
            writeln!(out, "{word:<9} {them}")?;
        }
        Ok(())
    }

    fn heard(&self, out: &mut dyn Write, heard: &[Heard]) -> std::io::Result<()> {
        heard
            .iter()
            .try_for_each(|one| writeln!(out, "  {}: {}", one.policy, show::said(&one.said)))
    }

    /// Which policy decided, and why the others were not asked.
    fn reason(&self, outcome: &Outcome) -> String {
        if let Rewrite::Refuse(_) = &outcome.rewrite {
            let by = outcome.rewriting.last().map_or("", |heard| heard.policy.as_str());
            return format!("{by} refuses to rewrite it; nobody is asked where it goes");
        }
        let Some(answer) = &outcome.answer else {
            return "inside a transaction it goes where the transaction is; only rewrite is asked"
                .to_owned();
        };
        let first = match (&answer.policy, answer.source) {
            (Some(policy), Source::Failed) => {
                format!("{policy} failed, and its on_failure decides")
            }
            (Some(policy), _) => format!("{policy} has the first opinion"),
            (None, _) => "no policy has an opinion: the primary is the default".to_owned(),
        };
        let mut why = vec![first];
        why.extend(self.specs.iter().filter_map(|spec| self.not_asked(spec, outcome)));
        why.join("; ")
    }

    fn not_asked(&self, spec: &PolicySpec, outcome: &Outcome) -> Option<String> {
        let name = &spec.name;
        if outcome.routing.iter().any(|heard| heard.policy == *name) {
            return None;
        }
        let decider = outcome.routing.last().map(|heard| heard.policy.as_str());
        let place = |name: &str| self.specs.iter().position(|spec| spec.name == name);
        let later = decider.is_some_and(|decider| place(decider) < place(name))
            && outcome.answer.as_ref().is_some_and(|answer| answer.policy.is_some());
        let Who { user, database, cluster, .. } = &self.who;
        Some(if !spec.scope.includes(user, database, cluster) {
            format!("{name} is not for this user, database or cluster")
        } else if later {
            format!("{name} comes later and is not asked")
        } else {
            format!("{name} has no hook route")
        })
    }
}
