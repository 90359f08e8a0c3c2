//! What systemd is told of this process (sd_notify(3)). Where it was not started by systemd, nobody is told anything.

use sd_notify::NotifyState;

/// Clients are served.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; then [`ready`].
pub(crate) fn reloading() {
    // The clock is there, or systemd is too old to ask for it.
    let now = NotifyState::monotonic_usec_now().into_iter();
    tell(&std::iter::once(NotifyState::Reloading).chain(now).collect::<Vec<_>>());
}

/// No more clients are taken.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the service from now on.
pub(crate) fn followed_by(pid: u32) {
    tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
}

/// Gives signs of life, for ever, where they are wanted: twice in the time after which their lack counts as death.
pub(crate) async fn stay_alive() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(limit / 2).await;
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
