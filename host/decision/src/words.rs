//! Answers of policies in words, the same everywhere.

use crate::{Admission, Decision, Demands, Otherwise, Refusal, Rewrite, SessionDecision};

/// Longest text of a rewrite that is shown whole, in bytes.
const MAX_SHOWN: usize = 1_024;

/// Where a statement goes.
pub fn decision(decision: &Decision) -> String {
    match decision {
        Decision::NoOpinion => "no opinion".to_owned(),
        Decision::Primary => "primary".to_owned(),
        Decision::Replica(demands) => format!("replica{}", demanded(demands)),
        Decision::Node(name) => format!("node {name}"),
        Decision::Cluster(name) => format!("primary of cluster {name}"),
        Decision::Refuse(refusal) => refused(refusal),
        Decision::Answer(table) => {
            let (columns, rows) = (table.columns.join(", "), table.rows.len());
            format!("answer by itself: {rows} rows of {columns}")
        }
        Decision::Pin(reason) => format!("primary, and stay there: {reason}"),
    }
}

fn demanded(demands: &Demands) -> String {
    let mut words = Vec::new();
    if let Some(most) = demands.max_lag_ms {
        words.push(format!("at most {most} ms behind"));
    }
    if let Some(most) = demands.max_lag_bytes {
        words.push(format!("at most {most} bytes behind"));
    }
    if let Some((key, value)) = &demands.label {
        words.push(format!("with {key}={value}"));
    }
    match demands.otherwise {
        Otherwise::Primary => {}
        Otherwise::Wait => words.push("else wait".to_owned()),
        Otherwise::Refuse => words.push("else refuse".to_owned()),
    }
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// An error for the client.
pub fn refused(refusal: &Refusal) -> String {
    let sqlstate = String::from_utf8_lossy(&refusal.sqlstate);
    format!("refuse with {sqlstate}: {}", refusal.message)
}

/// As much of a text as so many bytes hold.
pub fn cut(text: &str, most: usize) -> String {
    match text.floor_char_boundary(most) {
        end if end < text.len() => format!("{} …", &text[..end]),
        _ => text.to_owned(),
    }
}

/// What becomes of a text.
pub fn rewrite(rewrite: &Rewrite) -> String {
    match rewrite {
        Rewrite::Unchanged => "unchanged".to_owned(),
        Rewrite::Text(text) => cut(text, MAX_SHOWN),
        Rewrite::Refuse(refusal) => refused(refusal),
    }
}

/// What becomes of a client.
pub fn session(decision: &SessionDecision) -> String {
    match decision {
        SessionDecision::Refuse(refusal) => refused(refusal),
        SessionDecision::Accept(admission) => admitted(admission),
    }
}

/// How a client is let in.
pub fn admitted(admission: &Admission) -> String {
    let mut words = Vec::new();
    let named = [
        ("user", &admission.user),
        ("database", &admission.database),
        ("cluster", &admission.cluster),
    ];
    for (what, name) in named {
        if let Some(name) = name {
            words.push(format!("{what} {name}"));
        }
    }
    words.extend(admission.pool_mode.map(|mode| format!("{} pooling", mode.name())));
    for (name, value) in &admission.settings {
        words.push(format!("{name} = {value}"));
    }
    if admission.priority != 0 {
        words.push(format!("priority {}", admission.priority));
    }
    if let Some(most) = admission.max_wait_ms {
        words.push(format!("waits {most} ms at most"));
    }
    if admission.class != 0 {
        words.push(format!("class {}", admission.class));
    }
    if words.is_empty() { "accept".to_owned() } else { format!("accept ({})", words.join(", ")) }
}
