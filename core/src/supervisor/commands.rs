//! Requests of clients and workers, and signals to the daemon.

use crate::action::Action;
use crate::asker::Asker;
use crate::config::resolved;
use crate::event::DaemonSignal;
use crate::history::Cause;
use crate::id::{Peer, RequestRef};
use crate::wire::{Body, Reply, Request, StartOptions};

use super::goal::Life;
use super::operation::{Operations, Requester, begin, deploy, done, resume};
use super::pool::{Pool, counting};
use super::{numbers, relay, status};

/// Does what was asked for, or answers why not.
pub(super) fn requested(
    pool: &mut Pool,
    operations: &mut Operations,
    to: RequestRef,
    asker: Option<Asker>,
    request: Request,
) {
    let asker = if let Peer::Worker(id) = to.peer { Some(Asker::worker(id)) } else { asker };
    if let Some(asker) = &asker {
        let name = request.name();
        match request.changes_something() {
            true => tracing::info!("`{name}` was asked for by {asker}"),
            false => tracing::debug!("`{name}` was asked for by {asker}"),
        }
    }
    if !pool.requests.open(&mut pool.effects, &to, asker) {
        return;
    }
    match request {
        Request::Status => {
            let body = Body::Status(Box::new(status::status(pool, operations)));
            pool.requests.reply(&mut pool.effects, &to, Reply::done(Some(body)));
        }
        Request::Metrics => {
            counting::told(pool);
            let body = Body::Metrics(Box::new(numbers::metrics(pool)));
            pool.requests.reply(&mut pool.effects, &to, Reply::done(Some(body)));
        }
        Request::Config => {
            let body = Body::Config(resolved(&pool.config));
            pool.requests.reply(&mut pool.effects, &to, Reply::done(Some(body)));
        }
        Request::SendMessage { message, data, workers } => {
            relay::send_message(pool, &to, &message, data, workers);
        }
        Request::SendRequest { request, data, workers } => {
            relay::send_request(pool, &to, &request, data, workers);
        }
        Request::Terminate => {
            let by = pool.requests.asker(&to).cloned();
            done(pool, Requester::new(to, &StartOptions::default()));
            begin::quit(pool, operations, false, Cause { by, signal: None });
        }
        _ if pool.life != Life::Serving => begin::refuse_quitting(pool, &to),
        Request::Stop => begin::stop(pool, operations, to),
        Request::Restart { options, version } => begin::restart(pool, operations, to, options, version),
        Request::Deploy(options) => deploy::begin(pool, operations, to, options),
        Request::WatchEvents => pool.watch_events(to),
        Request::AttachDeploy { progress } => deploy::attach(pool, operations, to, progress),
        Request::Start(options) => begin::start(pool, operations, to, &options),
        Request::Resume => resume::resume(pool, operations, to),
        Request::SetWorkers { count } => begin::set_workers(pool, operations, to, count.get()),
        Request::SetStandby { count } => begin::set_standby(pool, operations, to, count),
        Request::Reload => {
            if !begin::refuse_while_busy(pool, operations, &to) {
                begin::reload(pool, operations, Some(to));
            }
        }
    }
}

/// Does what the signal means.
pub(super) fn signalled(pool: &mut Pool, operations: &mut Operations, signal: DaemonSignal) {
    let cause = |signal: &str| Cause { by: None, signal: Some(signal.to_owned()) };
    match signal {
        DaemonSignal::Terminate => begin::quit(pool, operations, false, cause("SIGTERM")),
        DaemonSignal::Interrupt => begin::quit(pool, operations, true, cause("SIGINT")),
        DaemonSignal::Hangup => begin::reload_signalled(pool, operations),
        DaemonSignal::User1 => pool.effects.order(Action::ReopenLogs),
        DaemonSignal::User2 => begin::upgrade_signalled(pool, operations),
    }
}
