//! When a node is asked, and what follows.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use howdah_cluster::{ClusterId, NodeId};
use tokio::time::{self, Instant};

use super::Definitions;
use super::question::{Found, Line};
use crate::monitor::{Monitor, Schema};
use crate::upstream::Client;

/// Longest wait for an answer: in databases with very many relations it takes long to compare them.
const DEADLINE: Duration = Duration::from_secs(10);
/// Clients wait for no answer longer than this: DISCARD ALL makes a connection fit for anybody.
const PATIENCE: Duration = Duration::from_millis(5);
/// Between two attempts to reach a node, or to make it answer as it should.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks whether there is a catalog, and whether a standby has replayed what it was loaded after.
const AGAIN: Duration = Duration::from_millis(20);

/// Asks one node.
pub(super) struct Inquiry {
    pub(super) monitor: Arc<Monitor>,
    pub(super) cluster: ClusterId,
    pub(super) database: String,
    pub(super) schema: Arc<Schema>,
    pub(super) node: NodeId,
}

impl Inquiry {
    /// For ever.
    pub(super) async fn run(self) {
        let Some(definitions) = self.schema.everywhere.of(self.node).cloned() else { return };
        let mut line: Option<Line> = None;
        let mut rest = Instant::now();
        let (mut before, mut said) = (rest, None);
        loop {
            if !definitions.wanted(line.is_some(), before, rest).await {
                line = None;
                definitions.changed();
                continue;
            }
            before = Instant::now();
            let question = definitions.begin();
            let answer = self.ask(&definitions, &mut line, rest).await;
            match &answer {
                Ok(Found::Same | Found::Again) => {}
                Ok(Found::Doubt) => rest = line.as_ref().map_or(rest, Line::rested),
                Ok(Found::Change) => {
                    rest = Instant::now() + AGAIN;
                    self.doubt();
                    self.schema.has_changed();
                }
                Err(reason) => {
                    if line.take().is_some() || rest <= Instant::now() {
                        rest = Instant::now() + RETRY;
                        if said.as_ref() != Some(reason) {
                            let (node, database) = (self.name(), &self.database);
                            tracing::warn!(node, database, reason, "definitions are not watched");
                            said = Some(reason.clone());
                        }
                    }
                }
            }
            let answered = matches!(answer, Ok(Found::Same | Found::Again));
            definitions.ended(question, answer.ok());
            if answered && definitions.epoch() == 0 {
                rest = Instant::now() + self.join(&definitions, line.as_ref()).await;
            }
        }
    }

    /// What has become of definitions since the last answer; over a new connection, they are what they are.
    async fn ask(
        &self,
        definitions: &Definitions,
        line: &mut Option<Line>,
        rest: Instant,
    ) -> Result<Found, String> {
        let deadline = Instant::now() + DEADLINE;
        let asking = async {
            if let Some(line) = line.as_mut().filter(|line| !line.is_out_of_date()) {
                let (found, lsn) = line.ask(deadline).await?;
                definitions.is_at(lsn);
                return Ok(found);
            }
            let (ready, lsn) = match line.take() {
                Some(line) => line.renewed(deadline).await?,
                None if Instant::now() < rest => return Err("it was tried a moment ago".to_owned()),
                None => Line::new(self.connect(deadline).await?, deadline).await?,
            };
            definitions.is_at(lsn);
            *line = Some(ready);
            Ok(Found::Again)
        };
        let mut asking = pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            () = time::sleep(PATIENCE) => {
                definitions.is_late();
                asking.await
            }
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Client, String> {
        let snapshot = self.monitor.snapshot();
        let is_up = snapshot.state(self.node).is_some_and(|state| state.up);
        let login = self.monitor.login_to(self.node, &self.database).filter(|_| is_up);
        let (endpoint, login) = login.ok_or("the node is down")?;
        let client = Client::connect(&endpoint, &login, deadline, &self.monitor.keys).await;
        client.map_err(|error| error.to_string())
    }

    /// No catalog is known to be true: one that is has to be loaded.
    fn doubt(&self) {
        self.schema.everywhere.doubt();
        self.monitor.catalogs.doubted(self.cluster, &self.database);
    }

    /// Finds out whether the node has what the primary had when the catalog that is known to be true was loaded. How long to
    /// wait if not.
    async fn join(&self, definitions: &Definitions, line: Option<&Line>) -> Duration {
        definitions.is_unknown(false);
        let believed = self.schema.everywhere.believed();
        let Some((content, origin)) = believed else {
            self.monitor.catalogs.doubted(self.cluster, &self.database);
            return AGAIN;
        };
        let changes = definitions.changes();
        if origin.is_of(self.node, changes) {
            definitions.believe(content, changes);
            return Duration::ZERO;
        }
        let follows = line.is_some_and(Line::is_to_standby) && self.follows(origin.node);
        let Some(primary) = self.schema.everywhere.of(origin.node).filter(|_| follows) else {
            self.doubt();
            return AGAIN;
        };
        if definitions.lsn() < origin.lsn {
            definitions.is_unknown(true);
            return AGAIN;
        }
        // What it has replayed beyond that, the primary had before it answers now.
        match primary.now(origin.node).await {
            Some(now) if !now.is_still(origin) => self.doubt(),
            Some(_) if self.schema.everywhere.believed() == believed => {
                definitions.believe(content, changes);
            }
            Some(_) => {}
            None => {
                definitions.is_unknown(true);
                return AGAIN;
            }
        }
        Duration::ZERO
    }

    /// Whether that one is the primary, and the node on its timeline.
    fn follows(&self, primary: NodeId) -> bool {
        let snapshot = self.monitor.snapshot();
        let timeline = |node| snapshot.state(node).map(|state| state.timeline);
        self.node != primary
            && snapshot.primary(self.cluster) == Some(primary)
            && timeline(self.node) == timeline(primary)
    }

    fn name(&self) -> String {
        self.monitor.snapshot().spec(self.node).map_or_else(String::new, |spec| spec.name.clone())
    }
}
