use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_cluster::{Failure, NodeId, Sample};
use howdah_decision::Role;
use tokio::time;

use super::Monitor;
use crate::upstream::{Client, ConnectError, Login, QueryError, Rows, Target};

/// Everything that a snapshot needs, in one round trip. The timeline of a primary is that of the WAL it writes;
/// of a standby that of what it receives, else of its last restart point.
const SAMPLE: &str = "SELECT r, (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
    CASE WHEN r THEN coalesce((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver), \
        (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())) \
      ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END, \
    CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_lsn, \
    CASE WHEN r THEN (extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()) * 1000)::bigint END \
    FROM (SELECT pg_catalog.pg_is_in_recovery() AS r) AS s";

/// Least time between two attempts to reach a node that is down, hints or not.
const RETRY: Duration = Duration::from_millis(100);

/// Least time between two probes that sessions ask for because they wait for a replica to catch up. They read from the
/// primary meanwhile.
const PACE: Duration = Duration::from_millis(10);

/// Probes one node for ever, over one connection that is kept.
pub(super) async fn watch_node(monitor: Arc<Monitor>, node: NodeId) {
    let snapshot = monitor.snapshot();
    let Some(spec) = snapshot.spec(node) else { return };
    let Some((watch, (target, login))) = monitor.login(node) else { return };
    let mut client = None;
    let mut before: Option<String> = None;
    loop {
        let asked = Instant::now();
        let deadline = time::Instant::from_std(asked + watch.timeout);
        let result = sample(&monitor, target, login, &mut client, deadline).await;
        if result.is_err() {
            client = None;
        }
        before = tell(&spec.name, &result, before);
        publish(&monitor, node, asked, result);
        let hint = monitor.hints.get(usize::from(node.0));
        let wanted = monitor.wanted.get(usize::from(node.0));
        let (Some(hint), Some(wanted)) = (hint, wanted) else { return };
        let wanted = async {
            wanted.notified().await;
            time::sleep_until(time::Instant::from_std(asked + PACE)).await;
        };
        match &mut client {
            // The end of the connection is news by itself.
            Some(client) => tokio::select! {
                () = time::sleep(watch.interval) => {}
                () = hint.notified() => {}
                () = wanted => {}
                _ = Client::ended(client) => {}
            },
            None => {
                time::sleep(RETRY).await;
                tokio::select! {
                    () = time::sleep(watch.interval) => {}
                    () = hint.notified() => {}
                }
            }
        }
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

fn publish(monitor: &Monitor, node: NodeId, asked: Instant, result: Result<Sample, Failure>) {
    let snapshot = monitor.observer.lock().observe(node, asked, result);
    let epoch = snapshot.epoch;
    monitor.snapshot.store(snapshot);
    monitor.epochs.send_if_modified(|known| std::mem::replace(known, epoch) != epoch);
}

async fn sample(
    monitor: &Monitor,
    target: &Target,
    login: &Login,
    client: &mut Option<Client>,
    deadline: time::Instant,
) -> Result<Sample, Failure> {
    let client = match client {
        Some(client) => client,
        None => {
            let fresh = Client::connect(target, login, deadline, &monitor.keys).await;
            client.insert(fresh.map_err(connect_failure)?)
        }
    };
    let rows = client.query(SAMPLE, deadline).await.map_err(query_failure)?;
    parse(&rows)
        .ok_or_else(|| Failure::Unavailable("its answer to the probe makes no sense".into()))
}

fn parse(rows: &Rows) -> Option<Sample> {
    let [recovery, identifier, timeline, lsn, age] = rows.first()?.as_slice() else { return None };
    Some(Sample {
        in_recovery: recovery.as_deref()? == "t",
        system_identifier: identifier.as_deref()?.parse().ok()?,
        timeline: timeline.as_deref()?.parse().ok()?,
        lsn: lsn.as_deref()?.parse().ok()?,
        replay_age: age
            .as_deref()
            .and_then(|ms| ms.parse::<i64>().ok())
            .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
    })
}

fn connect_failure(error: ConnectError) -> Failure {
    match error {
        ConnectError::Timeout => Failure::Silent,
        ConnectError::Refused(report) => match report.sqlstate() {
            b"57P01" | b"57P02" | b"57P03" | b"53300" => Failure::Unavailable(report.to_string()),
            _ => Failure::Login(report.to_string()),
        },
        ConnectError::Login(why) => Failure::Login(why.into()),
        other => Failure::Unreachable(other.to_string()),
    }
}

fn query_failure(error: QueryError) -> Failure {
    match error {
        QueryError::Timeout => Failure::Silent,
        QueryError::Lost(why) => Failure::Unreachable(why),
        QueryError::Refused(report) => Failure::Unavailable(report.to_string()),
    }
}
