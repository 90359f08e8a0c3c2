//! Silence as evidence: what servers leave unanswered.
//!
//! A slow statement is no failure. It is a reason to ask its server something that takes no time, once, and only when the
//! server says nothing to the other sessions of the worker either.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use howdah_cluster::NodeId;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Ctx;

/// How long nothing comes from a server until it is asked, at least; at most it is twice as long. Most statements are
/// answered sooner, and nobody notices a pause of that length.
const TURN: Duration = Duration::from_millis(20);

/// What the sessions of a worker wait for. Time is counted in turns, so that a statement costs no look at a clock.
pub(crate) struct Witness {
    turn: Cell<u64>,
    /// By node.
    nodes: Vec<Silence>,
    /// Nobody waits, and turns are not counted.
    rests: Cell<bool>,
    begun: Notify,
}

#[derive(Default)]
struct Silence {
    /// Questions of this turn that have no answer.
    fresh: Cell<usize>,
    /// Those of earlier turns that have none, and that nobody has been told of.
    waiting: Cell<usize>,
    /// Of questions up to this turn somebody has been told.
    told: Cell<u64>,
    /// Something was answered in this turn.
    heard: Cell<bool>,
}

/// A question to a server; when it is dropped, nobody waits for the answer any more.
pub(crate) struct Asked<'w> {
    witness: &'w Witness,
    silence: &'w Silence,
    turn: u64,
}

impl Witness {
    pub(crate) fn new(nodes: usize) -> Witness {
        Witness {
            turn: Cell::new(1),
            nodes: (0..nodes).map(|_| Silence::default()).collect(),
            rests: Cell::default(),
            begun: Notify::new(),
        }
    }

    /// Something is sent to this node that it has to answer.
    pub(crate) fn asked(&self, node: NodeId) -> Option<Asked<'_>> {
        let silence = self.nodes.get(usize::from(node.0))?;
        silence.fresh.set(silence.fresh.get() + 1);
        if self.rests.take() {
            self.begun.notify_one();
        }
        Some(Asked { witness: self, silence, turn: self.turn.get() })
    }

    /// Ends a turn, and tells which nodes were silent: nothing came from them in it, though something had been asked before
    /// it that they have not been called silent for.
    fn end_turn(&self) -> Vec<NodeId> {
        let turn = self.turn.get();
        self.turn.set(turn + 1);
        let mut silent = Vec::new();
        for (node, silence) in self.nodes.iter().enumerate() {
            if !silence.heard.take() && silence.waiting.get() > 0 {
                silent.push(NodeId(node as u16));
                silence.waiting.set(0);
                silence.told.set(turn - 1);
            }
            silence.waiting.set(silence.waiting.get() + silence.fresh.take());
        }
        silent
    }

    fn is_needed(&self) -> bool {
        self.nodes.iter().any(|silence| silence.fresh.get() + silence.waiting.get() > 0)
    }
}

impl Asked<'_> {
    /// Something has come from the server.
    pub(crate) fn answered(self) {
        self.silence.heard.set(true);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let count = match self.turn {
            turn if turn == self.witness.turn.get() => &self.silence.fresh,
            turn if turn > self.silence.told.get() => &self.silence.waiting,
            _ => return,
        };
        count.set(count.get() - 1);
    }
}

/// Lets the monitor ask nodes that are silent.
pub(crate) async fn listen(ctx: Rc<Ctx>) {
    let witness = &ctx.witness;
    loop {
        if !witness.is_needed() {
            witness.rests.set(true);
            witness.begun.notified().await;
        }
        let began = Instant::now();
        sleep(TURN).await;
        for node in witness.end_turn() {
            ctx.shared.monitor.silent(node, began);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    #[test]
    fn what_is_unanswered_for_a_whole_turn_is_told_of_once() {
        let witness = Witness::new(2);
        assert!(!witness.is_needed());
        let slow = witness.asked(NODE);
        assert!(witness.is_needed());
        assert_eq!(witness.end_turn(), [], "it may have been asked a moment ago");
        assert_eq!(witness.end_turn(), [NODE]);
        assert!(!witness.is_needed(), "it is only slow");
        assert_eq!(witness.end_turn(), []);
        // Another one is another reason.
        let next = witness.asked(NODE);
        witness.end_turn();
        drop(slow);
        assert_eq!(witness.end_turn(), [NODE]);
        drop(next);
        assert!(!witness.is_needed());
        assert!(witness.asked(NodeId(2)).is_none(), "there is no such node");
    }

    #[test]
    fn a_node_that_answers_others_is_not_silent() {
        let witness = Witness::new(2);
        let slow = witness.asked(NODE);
        for _ in 0..3 {
            witness.asked(NODE).unwrap().answered();
            assert_eq!(witness.end_turn(), []);
        }
        // An answer to nobody, and the answer of another node, are none.
        drop(witness.asked(NODE));
        witness.asked(NodeId(0)).unwrap().answered();
        assert_eq!(witness.end_turn(), [NODE]);
        drop(slow);
        assert!(!witness.is_needed());
    }
}
