//! Policies that are asked without a proxy around them: for tools, and for the cases that a new version must pass.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use howdah_decision::{
    Client, Decision, Facts, Failure, Node, Parameter, Refusal, Remember, Retry, Rewrite,
    RewriteVerdict, SessionDecision,
};
use howdah_policy::{
    Answer, Background, Chain, Description, FailedAt, Grants, Heard, Limits, OnFailure, Options,
    PolicyError, PolicySpec, Question, Registry, Rollout, Scope, Who, Worker,
};
use howdah_sql::{Catalog, ScanOptions, Statement};

use super::PolicyFile;
use crate::config::BUILT_IN;

/// Longest call where only the answer counts, or the time itself is looked at, not how busy this machine is.
pub const UNHURRIED: Duration = Duration::from_secs(1);

/// Where trials keep compiled components, and how many.
static COMPILED: OnceLock<(PathBuf, usize)> = OnceLock::new();

/// Has all trials of this process keep compiled components in a directory, and take them from there: an interpreter
/// takes many seconds to compile. When there are more than so many, the oldest go.
pub fn keep_compiled(directory: PathBuf, most: usize) {
    // Only the first directory counts.
    let _ = COMPILED.set((directory, most));
}

/// A chain of policies with nobody else's questions.
pub struct Trial {
    registry: Arc<Registry>,
    worker: Worker,
    chain: Rc<Chain>,
    epoch: Cell<u64>,
}

/// A question about a statement, as a session would ask it.
pub struct Asked<'a> {
    /// Its text.
    pub sql: &'a str,
    /// Whose it is.
    pub who: Who,
    /// The session's class.
    pub class: u32,
    /// What the text does not tell.
    pub extra: Facts,
    /// What is known of functions and views.
    pub catalog: &'a dyn Catalog,
    /// What is bound to its parameters, when something is.
    pub parameters: Option<&'a [Parameter]>,
}

/// What policies may ask of a question that no session has.
struct Bound<'a>(Option<&'a [Parameter]>);

impl Background for Bound<'_> {
    fn parameters(&self) -> Option<Vec<Parameter>> {
        self.0.map(<[Parameter]>::to_vec)
    }
}

/// What came of it.
pub struct Outcome {
    /// What the statement was found to be.
    pub statement: Rc<Statement>,
    /// What became of its text.
    pub rewrite: Rewrite,
    /// How long that may be remembered.
    pub rewrite_remembered: Remember,
    /// What each policy said to `rewrite`.
    pub rewriting: Vec<Heard>,
    /// What the new text is, when there is one.
    pub rewritten: Option<Rc<Statement>>,
    /// Where it goes; none when it was refused before, or inside a transaction, where nobody is asked.
    pub answer: Option<Answer>,
    /// What each policy said to `route`.
    pub routing: Vec<Heard>,
}

impl Trial {
    /// Loads policies exactly as the proxy does.
    ///
    /// # Errors
    /// What is wrong with each of them.
    pub fn new(specs: Vec<PolicySpec>) -> Result<Trial, Vec<PolicyError>> {
        let registry = Registry::new(Options { workers: 1 }).map_err(|message| {
            vec![PolicyError { policy: String::new(), origin: String::new(), message }]
        })?;
        if let Some((directory, most)) = COMPILED.get() {
            // Without it everything is compiled each time, which works as well.
            let _ = directory.parent().map(std::fs::create_dir_all);
            let _ = registry.keep_compiled(directory, *most);
        }
        registry.apply(specs)?;
        let worker = registry.worker(0);
        let chain = worker.chain(0);
        Ok(Trial { registry, worker, chain, epoch: Cell::new(0) })
    }

    /// These are the nodes from now on.
    pub fn nodes(&self, nodes: Vec<Node>) {
        self.epoch.set(self.epoch.get() + 1);
        self.registry.topology(self.epoch.get(), nodes.into());
    }

    fn question<'a>(
        &self,
        asked: &Asked<'a>,
        statement: &'a Statement,
        who: &'a Arc<Who>,
    ) -> Question<'a> {
        Question {
            sql: asked.sql,
            statement,
            extra: asked.extra,
            class: asked.class,
            who,
            interest: self.chain.interest(&who.user, &who.database, &who.cluster),
            background: &(),
        }
    }

    /// Asks what becomes of a statement, and where it goes. Nothing is remembered, so that each question is asked.
    pub fn ask(&self, asked: &Asked<'_>) -> Outcome {
        let scan = |text: &str| {
            Rc::new(howdah_sql::scan(text.as_bytes(), ScanOptions::default(), asked.catalog))
        };
        let statement = scan(asked.sql);
        let who = Arc::new(asked.who.clone());
        let question = self.question(asked, &statement, &who);
        let (verdict, rewriting) =
            self.worker.listen(|| self.worker.ask_rewrite(&self.chain, &question, &scan));
        let (mut rewritten, mut seen) = (None, asked.sql);
        if let Rewrite::Text(text) = &verdict.rewrite {
            rewritten = Some(scan(text));
            seen = text;
        }
        let refused = matches!(verdict.rewrite, Rewrite::Refuse(_));
        let (mut answer, mut routing) = (None, Vec::new());
        if !refused && !asked.extra.has(Facts::IN_TRANSACTION) {
            let question = Question {
                sql: seen,
                statement: rewritten.as_deref().unwrap_or(&statement),
                background: &Bound(asked.parameters),
                ..question
            };
            let (route, heard) =
                self.worker.listen(|| self.worker.ask_route(&self.chain, &question));
            (answer, routing) = (Some(route), heard);
        }
        let RewriteVerdict { rewrite, remember: rewrite_remembered } = verdict;
        Outcome { statement, rewrite, rewrite_remembered, rewriting, rewritten, answer, routing }
    }

    /// Asks what becomes of a statement that has failed.
    pub fn failed(
        &self,
        asked: &Asked<'_>,
        failure: &Failure,
        at: &FailedAt<'_>,
    ) -> (Retry, Vec<Heard>) {
        let statement =
            howdah_sql::scan(asked.sql.as_bytes(), ScanOptions::default(), asked.catalog);
        let who = Arc::new(asked.who.clone());
        let question = self.question(asked, &statement, &who);
        self.worker.listen(|| self.worker.retry(&self.chain, &question, failure, at))
    }

    /// Asks about a new client of this cluster, and tells that it has gone.
    pub fn open(&self, client: &Client, cluster: &str) -> (SessionDecision, Vec<Heard>) {
        let answer = self.worker.listen(|| self.worker.open(&self.chain, client, cluster));
        self.worker.closed(&self.chain, client.id);
        answer
    }

    /// The registry behind it.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The worker, for whoever measures.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// The chain, for whoever measures.
    pub fn chain(&self) -> &Rc<Chain> {
        &self.chain
    }
}

impl Outcome {
    /// What the client gets instead of a result, when a policy refuses.
    pub fn refusal(&self) -> Option<&Refusal> {
        match (&self.rewrite, self.answer.as_ref().map(|answer| &answer.verdict.decision)) {
            (Rewrite::Refuse(refusal), _) | (_, Some(Decision::Refuse(refusal))) => Some(refusal),
            _ => None,
        }
    }
}

/// A policy file without a configuration: it gets what it needs, and the default limits.
///
/// # Errors
/// It cannot be read, or is no component.
pub fn alone(path: &Path) -> Result<(PolicySpec, Description), PolicyError> {
    if path == Path::new(BUILT_IN) {
        return built_in();
    }
    let origin = path.display().to_string();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let failed = |message| PolicyError { policy: name.clone(), origin: origin.clone(), message };
    let bytes =
        std::fs::read(path).map_err(|error| failed(format!("it cannot be read: {error}")))?;
    let description = Description::of(&bytes).map_err(failed)?;
    let spec = PolicySpec {
        name: name.clone(),
        bytes: bytes.into(),
        origin: origin.clone(),
        settings: Default::default(),
        limits: Limits::default(),
        on_failure: OnFailure::default(),
        grants: grants(&description.grants),
        kv_space: None,
        scope: Scope::default(),
        sha256: None,
        rollout: Rollout::Live,
    };
    Ok((spec, description))
}

/// The policy in the program, under the name that configurations have for it.
fn built_in() -> Result<(PolicySpec, Description), PolicyError> {
    let spec = PolicyFile::built_in().read()?;
    let (policy, origin) = (spec.name.clone(), spec.origin.clone());
    let description =
        Description::of(&spec.bytes).map_err(|message| PolicyError { policy, origin, message })?;
    Ok((spec, description))
}

/// Grants by the names of interfaces.
fn grants(names: &[String]) -> Grants {
    let has = |name: &str| names.iter().any(|one| one == name);
    Grants {
        metrics: has("metrics"),
        kv: has("kv"),
        clock: has("clock"),
        random: has("random"),
        nodes: has("nodes"),
        catalog: has("catalog"),
    }
}
