//! Sessions of clients.

use howdah_decision::Decision;
use howdah_session::Pin;

use super::super::table::{Row, float, int, row, text, truth};
use super::{Operated, Show};
use crate::figures::Words as _;
use crate::policies::show;
use crate::worker::Sight;

pub(super) const CLIENTS: Show = Show {
    name: "CLIENTS",
    about: "Sessions of clients: what they do, what they wait for, and where they are.",
    columns: &[
        int("id", "Number of the session."),
        text("type", "C: it sends statements; R: it replicates."),
        text("user", "Who it is."),
        text("database", "What it has connected to."),
        text("cluster", "Where that is."),
        text("application_name", "As it calls itself."),
        text("addr", "Where it comes from; \"unix\" for a Unix socket."),
        truth("tls", "Whether its connection is encrypted."),
        text("state", "login, idle, active, idle in transaction, or waiting for a server."),
        int("seconds", "For how long it has been in that state."),
        text("waits_for", "The server that it waits for."),
        float("wait", "For how long it has waited, in seconds."),
        text("node", "The node that its server is on."),
        int("server_pid", "The server's process there."),
        text("pin", "Why it stays on its server."),
        int("batches", "Batches of statements that have been answered."),
        int("age", "Since it came, in seconds."),
    ],
    rows: |operated| Box::pin(clients(operated)),
};

pub(super) const PINS: Show = Show {
    name: "PINS",
    about: "Sessions that stay on their server, and why.",
    columns: &[
        int("id", "Number of the session."),
        text("user", "Who it is."),
        text("database", "What it has connected to."),
        text("application_name", "As it calls itself."),
        text("node", "The node that its server is on."),
        int("server_pid", "The server's process there."),
        text("reason", "Why it stays."),
        text(
            "by",
            "mode: session pooling; state: something that cannot follow it; policy: a policy wants it.",
        ),
        text("state", "As in CLIENTS."),
        int("seconds", "For how long it has been in that state."),
    ],
    rows: |operated| Box::pin(pins(operated)),
};

/// All sessions, those that came first first.
pub(super) async fn sights(operated: &Operated) -> Vec<Sight> {
    let sights = operated.shared.ask(|ctx| ctx.sights()).await;
    let mut sights: Vec<Sight> = sights.into_iter().flatten().collect();
    sights.sort_by_key(|sight| sight.visitor.id);
    sights
}

async fn clients(operated: &Operated) -> Vec<Row> {
    let snapshot = operated.shared.monitor.snapshot();
    let row = |sight: Sight| {
        let state = sight.state.word();
        let Sight { visitor, who, batches, since, link, pin, wants, .. } = sight;
        let wait = wants.as_ref().map(|(_, wait)| wait.as_secs_f64());
        let wants = wants.map(|(decision, _)| match decision {
            // Whoever is to be greeted, or no policy has an opinion of, goes to the primary.
            Decision::NoOpinion | Decision::Answer(_) | Decision::Refuse(_) => "primary".to_owned(),
            decision => show::decision(&decision),
        });
        row![
            visitor.id,
            if visitor.replicates { "R" } else { "C" },
            who.user.as_str(),
            who.database.as_str(),
            who.cluster.as_str(),
            who.application_name.as_str(),
            visitor.address.map_or("unix".to_owned(), |ip| ip.to_canonical().to_string()),
            visitor.encrypted,
            state,
            since.as_secs(),
            wants,
            wait,
            link.and_then(|link| snapshot.spec(link.node)).map(|spec| spec.name.as_str()),
            link.map(|link| link.pid),
            pin.as_ref().map(Pin::reason),
            batches,
            visitor.came.elapsed().unwrap_or_default().as_secs(),
        ]
    };
    sights(operated).await.into_iter().map(row).collect()
}

async fn pins(operated: &Operated) -> Vec<Row> {
    let snapshot = operated.shared.monitor.snapshot();
    let row = |sight: Sight| {
        let state = sight.state.word();
        let Sight { visitor, who, since, link, pin, .. } = sight;
        let pin = pin?;
        let by = match &pin {
            Pin::Mode => "mode",
            Pin::State(_) => "state",
            Pin::Policy(_) => "policy",
        };
        let node = link.and_then(|link| snapshot.spec(link.node));
        Some(row![
            visitor.id,
            who.user.as_str(),
            who.database.as_str(),
            who.application_name.as_str(),
            node.map(|spec| spec.name.as_str()),
            link.map(|link| link.pid),
            pin.reason(),
            by,
            state,
            since.as_secs(),
        ])
    };
    sights(operated).await.into_iter().filter_map(row).collect()
}
