//! The control thread: it lets clients in, and sees to it that they can go, away or to another process.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::access::{Questions, answer};
use crate::admin::{self, Visit};
use crate::config::Traces;
use crate::control::{Control, Operated};
use crate::http;
use crate::kv::Exchange;
use crate::sockets::{Listener, Sockets};
use crate::systemd;
use crate::toll;
use crate::traces::{self, Outbox};
use crate::upgrade::{Kin, Order, Predecessor, Successor};
use crate::worker::{Message, Shared};

/// A pause of the accept loop when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for the last exchange of shared values when the process ends.
const LAST_EXCHANGE: Duration = Duration::from_secs(2);

/// What the control thread looks after.
pub(crate) struct House {
    pub(crate) operated: Operated,
    pub(crate) threads: Vec<JoinHandle<()>>,
    pub(crate) exchange: Option<Exchange>,
    /// What workers bring.
    pub(crate) questions: Questions,
    pub(crate) visits: mpsc::UnboundedReceiver<Visit>,
    /// Spans, and where they go.
    pub(crate) outbox: Option<(Traces, Outbox)>,
    pub(crate) sockets: Sockets,
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) stopped: oneshot::Receiver<()>,
}

/// Sockets on which somebody is awaited.
struct Awaited {
    listeners: Vec<Listener>,
    control: Option<Control>,
    http: Option<TcpListener>,
}

/// Who is told at which addresses clients are let in, or why they are not.
pub(crate) type Bound = std::sync::mpsc::Sender<anyhow::Result<Vec<String>>>;

/// The thread: listeners, probes, shared values, the end.
pub(crate) fn control(house: House, bound: &Bound) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = bound.send(Err(error.into()));
            return;
        }
    };
    LocalSet::new().block_on(&runtime, async {
        if let Err(error) = house.keep(bound).await {
            let _ = bound.send(Err(error));
        }
    });
}

impl House {
    /// From the first socket to the last client.
    async fn keep(mut self, bound: &Bound) -> anyhow::Result<()> {
        let Operated { shared, recordings, .. } = self.operated.clone();
        let awaited = awaited(&mut self.sockets, &shared).await?;
        spawn_local(Arc::clone(&shared.monitor).run());
        spawn_local(keep_policies_told(Arc::clone(&shared)));
        spawn_local(answer(Arc::clone(&shared), self.questions));
        if let Some(predecessor) = self.predecessor {
            let linked = predecessor.take_over(&shared).await?;
            self.sockets.take_over();
            spawn_local(linked.serve(Arc::clone(&shared)));
        }
        spawn_local(systemd::stay_alive());
        spawn_local(toll::count(Arc::clone(&shared)));
        spawn_local(admin::serve(self.visits, self.operated.clone()));
        self.outbox.map(|(to, outbox)| spawn_local(traces::run(to, outbox)));
        let (end_exchange, ended) = oneshot::channel();
        let exchanging = self.exchange.map(|exchange| spawn_local(exchange.run(ended)));
        let answering = awaited.control.as_ref().map(Control::answering);
        let addresses = awaited.listeners.iter().map(Listener::address).collect();
        let open = awaited.let_in(self.operated);
        let _ = bound.send(Ok(addresses));
        let orders = (&mut self.orders, &mut self.stopped);
        match successor(orders, &shared, &self.sockets).await {
            Some((successor, answer)) => {
                self.sockets.pass_on();
                close(open).await;
                // What is asked of policies from now on is asked there.
                let _ = recordings.stop();
                hand_over(successor, &shared, &self.threads, answer, self.stopped).await;
                if let Some(answering) = answering {
                    answering.done().await;
                }
            }
            None => {
                systemd::stopping();
                drop(self.sockets);
                close(open).await;
                drain(&shared, &self.threads).await;
                // Mostly there is nothing to stop.
                let _ = recordings.stop();
            }
        }
        let _ = end_exchange.send(());
        if let Some(exchanging) = exchanging {
            // What was counted last is lost if Redis does not take it by then.
            let _ = timeout(LAST_EXCHANGE, exchanging).await;
        }
        Ok(())
    }
}

async fn awaited(sockets: &mut Sockets, shared: &Shared) -> anyhow::Result<Awaited> {
    let config = shared.config.load_full();
    let awaited = Awaited {
        listeners: sockets.listen(&config).await?,
        control: sockets.control(&config)?,
        http: sockets.http(&config).await?,
    };
    sockets.close_rest();
    Ok(awaited)
}

impl Awaited {
    /// Lets them in, until the tasks are aborted.
    fn let_in(self, operated: Operated) -> Vec<tokio::task::JoinHandle<()>> {
        let shared = Arc::clone(&operated.shared);
        let mut tasks = Vec::new();
        tasks.extend(self.http.map(|socket| spawn_local(http::serve(socket, operated.clone()))));
        tasks.extend(self.control.map(|socket| spawn_local(socket.serve(operated))));
        for listener in self.listeners {
            tracing::info!(address = listener.address(), "listening");
            tasks.push(spawn_local(accept(listener, Arc::clone(&shared))));
        }
        tasks
    }
}

/// Nobody is let in any more.
async fn close(open: Vec<tokio::task::JoinHandle<()>>) {
    for task in open {
        task.abort();
        // It has ended, in one way or another.
        let _ = task.await;
    }
}

/// Who waits for the number of the process that takes over.
type Answer = oneshot::Sender<Result<u32, String>>;

/// Returns when another process listens from now on; none: this one is to end.
async fn successor(
    (orders, stopped): (&mut mpsc::UnboundedReceiver<Order>, &mut oneshot::Receiver<()>),
    shared: &Shared,
    sockets: &Sockets,
) -> Option<(Successor, Answer)> {
    loop {
        let order = tokio::select! {
            // Either the order to stop, or nobody is left to give it.
            _ = &mut *stopped => return None,
            order = orders.recv() => order?,
        };
        tracing::info!("another process is started, to take over");
        let started = tokio::select! {
            _ = &mut *stopped => return None,
            started = Successor::start(order.program, shared, sockets) => started,
        };
        let why = match started {
            Ok(mut successor) => match successor.go(shared).await {
                Ok(()) => return Some((successor, order.answer)),
                Err(error) => error.to_string(),
            },
            Err(why) => why,
        };
        tracing::error!(why, "no other process takes over: this one goes on");
        // Nobody may wait for it.
        let _ = order.answer.send(Err(format!("the new process does not take over: {why}")));
    }
}

/// Hands the sessions over, and waits until all have gone.
async fn hand_over(
    successor: Successor,
    shared: &Arc<Shared>,
    threads: &[JoinHandle<()>],
    answer: Answer,
    stopped: oneshot::Receiver<()>,
) {
    let pid = successor.pid();
    tracing::info!(pid, clients = shared.clients(), "another process takes over");
    systemd::followed_by(pid);
    let (kin, outbox) = Kin::new(successor.takes_sessions());
    shared.is_kin_to(Some(Arc::clone(&kin)));
    spawn_local(successor.serve(outbox, Arc::clone(shared), kin));
    for worker in &shared.workers {
        let _ = worker.send(Message::Leave);
    }
    // Nobody may wait for it.
    let _ = answer.send(Ok(pid));
    tokio::select! {
        () = ended(threads) => return tracing::info!("all sessions have gone"),
        _ = stopped => {}
        () = sleep(shared.config.load().limits.upgrade_timeout) => {
            let clients = shared.clients();
            tracing::warn!(clients, "sessions have to end: limits.upgrade_timeout has passed");
        }
    }
    drain(shared, threads).await;
}

/// Gives each new connection to the worker with the fewest clients.
async fn accept(listener: Listener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // What cannot leave this thread's reactor is lost: its client will try again.
                if let Ok(stream) = stream.detach() {
                    shared.hand_out(stream, peer);
                }
            }
            Err(error) => {
                // Out of descriptors or memory, or the client has gone: the next one may do better.
                tracing::warn!(%error, "a connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Pushes nodes to policies.
pub(crate) fn tell_policies(shared: &Shared) {
    let snapshot = shared.monitor.snapshot();
    shared.registry.topology(snapshot.epoch, snapshot.for_policies().into());
}

/// The same whenever they have changed.
async fn keep_policies_told(shared: Arc<Shared>) {
    let mut epochs = shared.monitor.epochs();
    epochs.mark_changed();
    while epochs.changed().await.is_ok() {
        tell_policies(&shared);
    }
}

async fn drain(shared: &Shared, threads: &[JoinHandle<()>]) {
    tracing::info!(clients = shared.clients(), "draining");
    shared.drains();
    for worker in &shared.workers {
        let _ = worker.send(Message::Drain);
    }
    match timeout(shared.config.load().limits.shutdown_timeout, ended(threads)).await {
        Ok(()) => tracing::info!("drained"),
        Err(_) => tracing::warn!(
            clients = shared.clients(),
            "clients are cut off: limits.shutdown_timeout has passed"
        ),
    }
}

/// Returns when all workers have ended.
async fn ended(threads: &[JoinHandle<()>]) {
    while threads.iter().any(|thread| !thread.is_finished()) {
        sleep(Duration::from_millis(5)).await;
    }
}
