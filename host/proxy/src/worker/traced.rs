//! What is noted of a batch that is traced.

use std::time::Instant;

use howdah_decision::Source;
use howdah_policy::Answer;
use howdah_session::Seen;

use super::guide::SessionGuide;
use crate::figures::{self, Words};
use crate::traces::{Batch, Context, Lap, Tracer, Wish, wish};

/// A batch under way that may be traced: that is known when all of it has come.
pub(crate) struct Traced {
    /// When the first of it came.
    began: Instant,
    context: Option<Context>,
    /// Its application does not want it.
    left: bool,
    policy: Option<(Instant, Instant)>,
    wait: Option<(Instant, Instant)>,
}

impl SessionGuide {
    fn tracer(&self) -> Option<&Tracer> {
        self.ctx.shared.tracer.as_ref()
    }

    /// The first of a batch has come. Without a tracer this is one look at it.
    pub(super) fn begin_trace(&mut self) {
        if self.tracer().is_none() {
            return;
        }
        let new =
            Traced { began: Instant::now(), context: None, left: false, policy: None, wait: None };
        match &mut self.traced {
            Some(traced) => **traced = new,
            None => self.traced = Some(Box::new(new)),
        }
    }

    /// All of it has come, and it is to run.
    pub(super) fn sample_trace(&mut self) {
        let Some(tracer) = self.ctx.shared.tracer.as_ref() else { return };
        let mut left = self.ctx.untraced.get();
        let sampled = tracer.samples(&mut left);
        self.ctx.untraced.set(left);
        if let Some(traced) = &mut self.traced {
            traced.context = sampled.then(Context::new);
        }
    }

    /// A statement of the batch may say whether it is to be traced; the last one that says anything counts.
    pub(super) fn heed_wish(&mut self, text: &[u8]) {
        let Some(traced) = &mut self.traced else { return };
        match wish(text) {
            Some(Wish::Traced(context)) => (traced.context, traced.left) = (Some(context), false),
            Some(Wish::Left) => traced.left = true,
            None => {}
        }
    }

    /// Policies have been asked since then.
    pub(super) fn trace_policy(&mut self, since: Option<Instant>) {
        if let (Some(traced), Some(since)) = (&mut self.traced, since) {
            let first = traced.policy.map_or(since, |(first, _)| first);
            traced.policy = Some((first, Instant::now()));
        }
    }

    /// The session has a server, for which it has waited since then.
    pub(super) fn trace_wait(&mut self, since: Option<Instant>) {
        if let (Some(traced), Some(since)) = (&mut self.traced, since) {
            let first = traced.wait.map_or(since, |(first, _)| first);
            traced.wait = Some((first, Instant::now()));
        }
    }

    /// The batch has ended.
    pub(super) fn end_trace(&mut self, seen: &Seen<Answer>, source: Source) {
        let Some(traced) = &self.traced else { return };
        let (Some(context), false, Some(tracer)) = (traced.context, traced.left, self.tracer())
        else {
            return;
        };
        let lap = |from, to| Lap { from: tracer.nanoseconds(from), to: tracer.nanoseconds(to) };
        let (now, between) = (Instant::now(), |(from, to)| lap(from, to));
        let node = self.node.and_then(|node| self.ctx.names.get(usize::from(node.0)).cloned());
        let answer = seen.answer.as_ref();
        let had = traced.wait.or(traced.policy).map_or(traced.began, |(_, had)| had);
        let server = self.node.map(|_| lap(had, now));
        tracer.send(Batch {
            context,
            whole: lap(traced.began, now),
            policy: traced.policy.map(between),
            wait: traced.wait.map(between),
            server,
            kind: seen.kind.name(),
            digest: seen.digest,
            database: self.database.name.clone(),
            cluster: self.who.cluster.clone(),
            node,
            decided_by: answer.and_then(|answer| answer.policy.as_deref()).map(str::to_owned),
            source: figures::Source::from(source).word(),
            rows: seen.rows,
            sqlstate: seen.sqlstate.map(|state| String::from_utf8_lossy(&state).into_owned()),
        });
    }
}
