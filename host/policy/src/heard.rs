//! What each policy said to a question: for people who ask why, and for whoever records calls.

use std::sync::Arc;

use howdah_decision::{Admission, Client, Failure, Node, Refusal, Retry, RewriteVerdict, Verdict};

use crate::beside::FailedAt;
use crate::chain::Question;
use crate::loaded::Loaded;
use crate::spec::PolicySpec;
use crate::supplied::{Script, Supplied, Tape};
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

/// What a policy is asked.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// `session`: about a client of this cluster.
    Session(&'a Client, &'a str),
    /// `rewrite`.
    Rewrite(&'a Question<'a>),
    /// `route`.
    Route(&'a Question<'a>),
    /// `retry`: about a statement that has failed, and where.
    Retry(&'a Question<'a>, &'a Failure, &'a FailedAt<'a>),
}

impl<'a> Subject<'a> {
    /// The statement that it is about.
    pub(crate) fn question(self) -> Option<&'a Question<'a>> {
        match self {
            Subject::Session(..) => None,
            Subject::Rewrite(q) | Subject::Route(q) | Subject::Retry(q, ..) => Some(q),
        }
    }
}

/// A call of a hook that gives a verdict, with everything that the verdict was drawn from.
#[derive(Debug)]
pub struct Call<'a> {
    /// The policy.
    pub spec: &'a Arc<PolicySpec>,
    /// SHA-256 of its component, in hexadecimal digits.
    pub sha256: &'a str,
    /// The worker whose instance was asked.
    pub worker: usize,
    /// What it was asked.
    pub subject: Subject<'a>,
    /// The number of the topology that it knew, and the nodes.
    pub topology: (u64, &'a Arc<[Node]>),
    /// What the host told it meanwhile.
    pub supplied: Vec<Supplied>,
    /// What it said.
    pub said: Said,
}

/// Takes calls on the thread that made them: it must not wait.
pub type Listener = Box<dyn Fn(Call<'_>) + Send + Sync>;

impl Worker {
    /// Asks something of one policy, which gets from the host what the script says. Back comes what was left of it.
    pub fn supplying<T>(&self, script: Script, ask: impl FnOnce() -> T) -> (T, Script) {
        *self.script.borrow_mut() = Some(Box::new(script));
        let answer = ask();
        let script = self.script.borrow_mut().take().unwrap_or_default();
        (answer, *script)
    }

    /// Tells the listener, if there is one, of a call. None was made to a policy in quarantine.
    pub(crate) fn tell(
        &self,
        listener: &Listener,
        policy: &Loaded,
        subject: Subject<'_>,
        supplied: Vec<Supplied>,
        said: Said,
    ) {
        let topology = self.registry.world.topology.load();
        listener(Call {
            spec: &policy.spec,
            sha256: policy.spec.bytes.sha256(),
            worker: self.index,
            subject,
            topology: (topology.epoch, &topology.nodes),
            supplied,
            said,
        });
    }

    /// What an instance notes or is given during a call.
    pub(crate) fn tape(&self, noting: bool) -> Tape {
        match self.script.borrow_mut().take() {
            Some(script) => Tape::Giving(script),
            None if noting => Tape::Noting(Vec::new()),
            None => Tape::Off,
        }
    }

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
