use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use howdah_cluster::{ClusterId, Evidence, Failover, Failure, NodeId, Sample, Snapshot};
use howdah_decision::Role;
use howdah_wire::backend::ErrorReport;
use tokio::time;

use super::{Monitor, Watch};
use crate::pace::jittered;
use crate::upstream::{Client, ConnectError, QueryError, Rows};

/// Everything that a snapshot needs, in one round trip. The timeline of a primary is that of the WAL it writes;
/// of a standby that of what it receives, else of its last restart point.
const SAMPLE: &str = "SELECT r, (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
    CASE WHEN r THEN coalesce((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver), \
        (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())) \
      ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END, \
    CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_lsn, \
    CASE WHEN r THEN (extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()) * 1000)::bigint END, \
    CASE WHEN NOT r THEN pg_catalog.pg_last_wal_replay_lsn() - '0/0'::pg_lsn END \
    FROM (SELECT pg_catalog.pg_is_in_recovery() AS r) AS s";

/// Time between two probes of a node whose cluster has no primary, or one in doubt: a promotion is seen within that.
const EAGER: Duration = Duration::from_millis(20);

/// Time between two attempts to reach a node that is down, when its cluster has a primary.
const RETRY: Duration = Duration::from_millis(250);

/// Least time between two probes, whoever asks for them: sessions that wait for a replica to catch up read from the primary
/// meanwhile.
const PACE: Duration = Duration::from_millis(10);

/// A primary that has not answered for so long is in doubt: where the next one would be is looked at already.
const DOUBT: Duration = Duration::from_millis(30);

/// Probes one node for ever, over one connection that is kept.
pub(super) async fn watch_node(monitor: Arc<Monitor>, node: NodeId) {
    let snapshot = monitor.snapshot();
    let Some(spec) = snapshot.spec(node) else { return };
    let Some(watch) = monitor.watches.get(usize::from(spec.cluster.0)) else { return };
    let mut probe = Probe { monitor: &monitor, node, cluster: spec.cluster, watch, client: None };
    let mut before: Option<String> = None;
    loop {
        let asked = Instant::now();
        let result = probe.ask(asked).await;
        before = tell(&spec.name, &result, before);
        probe.publish(asked, result);
        probe.rest(asked).await;
    }
}

/// The watch over one node.
struct Probe<'a> {
    monitor: &'a Monitor,
    node: NodeId,
    cluster: ClusterId,
    watch: &'a Watch,
    client: Option<Client>,
}

impl Probe<'_> {
    /// A question is sent when the last answer is as old as a third of the time after which silence counts as down, and
    /// must be answered within the rest of it.
    fn third(&self) -> Duration {
        self.watch.timeout / 3
    }

    async fn ask(&mut self, asked: Instant) -> Result<Sample, Failure> {
        let patience = if self.client.is_some() { 2 * self.third() } else { self.watch.timeout };
        let deadline = time::Instant::from_std(asked + patience);
        let (monitor, node) = (self.monitor, self.node);
        let result = {
            let mut sample = pin!(self.sample(deadline));
            tokio::select! {
                result = &mut sample => result,
                () = time::sleep(DOUBT) => {
                    monitor.hint(node, Evidence::Unanswered);
                    sample.await
                }
            }
        };
        if result.is_err() {
            self.client = None;
        }
        result
    }

    async fn sample(&mut self, deadline: time::Instant) -> Result<Sample, Failure> {
        if let Some(client) = &mut self.client {
            match client.query(SAMPLE, deadline).await {
                Ok(rows) => return parse(&rows, false),
                Err(QueryError::Timeout) => return Err(Failure::Silent),
                Err(QueryError::Refused(report)) => return Err(unavailable(&report)),
                // A backend that has ended is not a node that has: another connection tells.
                Err(QueryError::Lost(_)) => self.monitor.hint(self.node, Evidence::MonitorLost),
            }
        }
        let Some((endpoint, login)) = self.monitor.login(self.node) else {
            return Err(Failure::Unreachable("it has no address".into()));
        };
        let fresh = Client::connect(&endpoint, &login, deadline, &self.monitor.keys).await;
        let client = self.client.insert(fresh.map_err(connect_failure)?);
        match client.query(SAMPLE, deadline).await {
            Ok(rows) => parse(&rows, true),
            Err(QueryError::Timeout) => Err(Failure::Silent),
            Err(QueryError::Refused(report)) => Err(unavailable(&report)),
            Err(QueryError::Lost(why)) => Err(Failure::Unreachable(why)),
        }
    }

    fn publish(&self, asked: Instant, result: Result<Sample, Failure>) {
        let Probe { monitor, cluster, .. } = *self;
        let at = if result.is_ok() { asked } else { Instant::now() };
        let mut observer = monitor.observer.lock();
        let had = observer.snapshot().primary(cluster);
        let snapshot = observer.observe(self.node, at, result);
        if let Some(failover) = observer.ended(cluster) {
            if let Some(count) = monitor.failed_over.get(usize::from(cluster.0)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            tell_failover(&snapshot, &failover);
        }
        let primary = snapshot.primary(cluster);
        monitor.publish(snapshot);
        drop(observer);
        if had.is_some() && primary.is_none() {
            monitor.look(cluster);
        }
    }

    /// Waits until the next probe is due.
    async fn rest(&mut self, asked: Instant) {
        let in_doubt = self.monitor.observer.lock().in_doubt(self.cluster);
        let due = match &self.client {
            _ if in_doubt => jittered(EAGER),
            Some(_) => self.watch.interval.min(self.third()),
            None => jittered(RETRY),
        };
        let Some(hint) = self.monitor.hints.get(usize::from(self.node.0)) else { return };
        // The end of the connection is news by itself.
        let ended = async {
            match &mut self.client {
                Some(client) => drop(client.ended().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time::sleep(due) => return,
            () = hint.notified() => {}
            () = ended => {}
        }
        let pace = if self.client.is_some() { PACE } else { EAGER };
        time::sleep_until(time::Instant::from_std(asked + pace)).await;
    }
}

/// Logs a change, once.
fn tell(name: &str, result: &Result<Sample, Failure>, before: Option<String>) -> Option<String> {
    let now = match result {
        Ok(sample) if sample.in_recovery => Role::Replica.name().to_owned(),
        Ok(_) => Role::Primary.name().to_owned(),
        Err(failure) => failure.to_string(),
    };
    if before.as_ref() != Some(&now) {
        match result {
            Ok(_) => tracing::info!(node = name, role = now, "node is up"),
            Err(_) => tracing::warn!(node = name, reason = now, "node is down"),
        }
    }
    Some(now)
}

fn tell_failover(snapshot: &Snapshot, failover: &Failover) {
    let name = |node| snapshot.spec(node).map_or("", |spec| spec.name.as_str());
    let (Some((to, timeline, seen)), (from, before)) = (failover.to, failover.from) else { return };
    let milliseconds =
        |at: Instant| at.saturating_duration_since(failover.doubted).as_millis() as u64;
    let lost = failover.lost.as_ref();
    tracing::warn!(
        from = name(from),
        to = name(to),
        timeline_before = before,
        timeline,
        evidence = failover.evidence.text(),
        reason = lost.map(|(_, how)| how),
        lost_after_ms = lost.map(|(at, _)| milliseconds(*at)),
        found_after_ms = milliseconds(seen),
        "the primary has changed"
    );
}

fn parse(rows: &Rows, first: bool) -> Result<Sample, Failure> {
    let senseless = || Failure::Unavailable("its answer to the probe makes no sense".into());
    read(rows, first).ok_or_else(senseless)
}

fn read(rows: &Rows, first: bool) -> Option<Sample> {
    let [recovery, identifier, timeline, lsn, age, recovered] = rows.first()?.as_slice() else {
        return None;
    };
    Some(Sample {
        in_recovery: recovery.as_deref()? == "t",
        system_identifier: identifier.as_deref()?.parse().ok()?,
        timeline: timeline.as_deref()?.parse().ok()?,
        lsn: lsn.as_deref()?.parse().ok()?,
        replay_age: age
            .as_deref()
            .and_then(|ms| ms.parse::<i64>().ok())
            .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
        recovered: recovered.as_deref().map(str::parse).transpose().ok()?,
        first,
    })
}

fn connect_failure(error: ConnectError) -> Failure {
    match error {
        ConnectError::Timeout => Failure::Silent,
        ConnectError::Refused(report) => match report.sqlstate() {
            b"57P01" | b"57P02" | b"57P03" => unavailable(&report),
            _ => Failure::Login(report.to_string()),
        },
        ConnectError::Login(why) => Failure::Login(why.into()),
        ConnectError::Tls(why) => Failure::Login(why),
        other => Failure::Unreachable(other.to_string()),
    }
}

fn unavailable(report: &ErrorReport) -> Failure {
    Failure::Unavailable(report.to_string())
}
