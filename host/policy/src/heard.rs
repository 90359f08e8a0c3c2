//! What each policy of a chain said to one question, for people who ask why.

use howdah_decision::{Admission, Refusal, Retry, RewriteVerdict, Verdict};

use crate::worker::Worker;

/// One policy's part in an answer, in the order of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its name.
    pub policy: String,
    /// What it said.
    pub said: Said,
}

/// What a policy said. How long an answer may be remembered is told after the host has limited it by what the policy
/// looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// To `route`.
    Route(Verdict),
    /// To `rewrite`.
    Rewrite(RewriteVerdict),
    /// To `session`: it lets the client in; none: it has no opinion.
    Admit(Option<Admission>),
    /// To `session`: it sends the client away.
    Refuse(Refusal),
    /// To `retry`.
    Retry(Retry),
    /// Nothing that can be used: why.
    Failed(String),
}

impl Worker {
    /// Asks something, and tells what each policy said that was asked because of it. What is remembered is not asked:
    /// see [`Worker::ask_route`] and [`Worker::ask_rewrite`].
    pub fn listen<T>(&self, ask: impl FnOnce() -> T) -> (T, Vec<Heard>) {
        *self.heard.borrow_mut() = Some(Vec::new());
        let answer = ask();
        let heard = self.heard.borrow_mut().take().unwrap_or_default();
        (answer, heard)
    }

    /// Notes what a policy said, when somebody listens.
    pub(crate) fn hear(&self, policy: &str, said: impl FnOnce() -> Said) {
        if let Some(heard) = &mut *self.heard.borrow_mut() {
            heard.push(Heard { policy: policy.to_owned(), said: said() });
        }
    }
}
