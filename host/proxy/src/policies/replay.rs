//! Asking a policy what a recording says that it was asked.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use howdah_decision::{Facts, Node};
use howdah_policy::{
    Limits, Options, PolicyError, PolicySpec, Question, Registry, Said, Script, SettingValue,
    Worker,
};
use howdah_sql::{NoCatalog, ScanOptions};

use super::record::line::{Asked, RecordedCall, RecordedStatement};
use super::trial::UNHURRIED;

/// A policy that is asked again, with one instance for each worker of the recording.
pub struct Replay {
    registry: Arc<Registry>,
    workers: Vec<Worker>,
    spec: PolicySpec,
    /// The settings that it has; none before it was asked anything.
    settings: Option<BTreeMap<String, SettingValue>>,
    topology: u64,
}

/// What a policy says now.
pub struct Now {
    /// None: it has no such hook.
    pub said: Option<Said>,
    /// What it has asked the host for that the recording does not have.
    pub missing: Vec<String>,
}

impl Replay {
    /// A policy, for a recording of so many workers.
    ///
    /// # Errors
    /// The engine does not run on this machine.
    pub fn new(spec: PolicySpec, workers: usize) -> Result<Replay, String> {
        let registry = Registry::new(Options { workers })?;
        let time = spec.limits.time.max(UNHURRIED);
        let limits = Limits { time, quarantine_after: u32::MAX, ..spec.limits };
        let workers = (0..workers).map(|index| registry.worker(index)).collect();
        let spec = PolicySpec { limits, ..spec };
        Ok(Replay { registry, workers, spec, settings: None, topology: 0 })
    }

    /// These are the nodes from now on.
    pub fn nodes(&mut self, nodes: Vec<Node>) {
        self.topology += 1;
        self.registry.topology(self.topology, nodes.into());
    }

    /// The policy has these settings from now on.
    ///
    /// # Errors
    /// It cannot be used, or does not accept them.
    pub fn configure(
        &mut self,
        settings: BTreeMap<String, SettingValue>,
    ) -> Result<(), Vec<PolicyError>> {
        if self.settings.as_ref() != Some(&settings) {
            self.registry
                .apply(vec![PolicySpec { settings: settings.clone(), ..self.spec.clone() }])?;
            self.settings = Some(settings);
        }
        Ok(())
    }

    /// Asks again. The policy must have been configured.
    ///
    /// # Errors
    /// The recording holds words that are not known, or a worker that it has not.
    pub fn ask(&self, call: &RecordedCall) -> Result<Now, String> {
        let worker = self.workers.get(call.worker).ok_or("there is no such worker")?;
        let chain = worker.chain(0);
        let who = Arc::new(call.who.who());
        let scan = |text: &str| {
            Rc::new(howdah_sql::scan(text.as_bytes(), ScanOptions::default(), &NoCatalog))
        };
        let with = |recorded: &RecordedStatement, ask: &dyn Fn(&Question<'_>)| {
            let statement = recorded.statement()?;
            ask(&Question {
                sql: &recorded.sql,
                statement: &statement,
                extra: Facts::NONE,
                class: recorded.class,
                interest: chain.interest(&who.user, &who.database, &who.cluster),
                who: &who,
                background: &(),
            });
            Ok::<(), String>(())
        };
        let ask = || match &call.asked {
            Asked::Session(client) => {
                worker.open(&chain, &client.client(&who), &who.cluster);
                Ok(())
            }
            Asked::Rewrite(statement) => with(statement, &|q| {
                worker.ask_rewrite(&chain, q, &scan);
            }),
            Asked::Route(statement) => with(statement, &|q| {
                worker.ask_route(&chain, q);
            }),
            Asked::Retry(statement, failure) => {
                let (failure, at) = failure.failure()?;
                with(statement, &|q| {
                    worker.retry(&chain, q, &failure, &at);
                })
            }
        };
        let supplied = call.supplied.clone();
        let script = Script { supplied, wall_ms: call.at, missing: Vec::new() };
        let ((asked, heard), script) = worker.supplying(script, || worker.listen(ask));
        asked?;
        let said = heard.into_iter().next().map(|heard| heard.said);
        Ok(Now { said, missing: script.missing })
    }
}
