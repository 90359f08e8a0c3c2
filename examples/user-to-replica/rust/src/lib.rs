//! Reads of the users in the setting `users` go to replicas, everything else to the primary.
//!
//! The users are looked up once per client, who get class 1. So an answer can be remembered by digest and class.

use howdah_sdk::{
    Admission, Client, Configure, Decision, Kind, Remember, Route, Session, SessionDecision,
    Settings, Statement, Verdict,
};

/// The class of the listed users' sessions.
const LISTED: u32 = 1;

/// The policy with its settings.
#[derive(Default)]
pub struct UserToReplica {
    users: Vec<String>,
}

impl Configure for UserToReplica {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        settings.only(&["users"])?;
        self.users = settings.texts("users")?.to_vec();
        Ok(())
    }
}

impl Session for UserToReplica {
    fn open(&mut self, client: &Client) -> SessionDecision {
        if self.users.contains(&client.user) {
            SessionDecision::Accept(Admission { class: LISTED, ..Admission::default() })
        } else {
            SessionDecision::NoOpinion
        }
    }
}

impl Route for UserToReplica {
    fn route(&mut self, statement: &Statement<'_>) -> Verdict {
        let decision = match (statement.class, statement.kind) {
            (LISTED, Kind::Read) => Decision::replica(),
            _ => Decision::Primary,
        };
        decision.remembered(Remember::DigestAndClass)
    }
}

howdah_sdk::export!(UserToReplica: configure, session, route);

#[cfg(test)]
mod tests;
