//! Where metrics are served.

use std::time::Duration;

use crate::action::Action;
use crate::config::MetricsAddress;
use crate::event::Failure;
use crate::time::Time;

use super::backoff::Backoff;
use super::goal::Life;
use super::pool::Pool;
use super::timer::Timer;

/// The last order about that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MetricsServer {
    told: Option<MetricsAddress>,
    /// Failures to serve there.
    failures: Backoff,
}

impl MetricsServer {
    /// One that a predecessor has told this.
    pub fn told(told: Option<MetricsAddress>) -> Self {
        Self { told, ..Self::default() }
    }

    /// Where it serves. One that has failed begins anew.
    pub fn last(&self) -> Option<&MetricsAddress> {
        self.told.as_ref().filter(|_| self.failures.failures() == 0)
    }

    /// Has metrics served where the configuration says. What failed is tried again.
    pub fn update(&mut self, pool: &mut Pool) {
        let wanted = pool.config.metrics.as_ref().filter(|_| pool.life == Life::Serving);
        let again = wanted.is_some() && self.failures.retry_at().is_some_and(|at| at <= pool.now());
        if wanted == self.told.as_ref() && !again {
            return;
        }
        if wanted != self.told.as_ref() {
            self.failures = Backoff::default();
        }
        self.failures.tried();
        self.told = wanted.cloned();
        pool.effects.order(Action::ServeMetrics { address: self.told.clone() });
    }

    /// They are served, or cannot be.
    pub fn serves(&mut self, now: Time, address: Option<&MetricsAddress>, result: Result<(), Failure>) {
        if address != self.told.as_ref() {
            return;
        }
        let failing = self.failures.failures() > 0;
        match (result, address) {
            (Ok(()), Some(address)) => {
                self.failures.succeeded();
                tracing::info!("metrics are served at {address}");
            }
            (Ok(()), None) => {}
            (Err(failure), _) => {
                self.failures.failed(now, Duration::ZERO, &failure.0);
                if !failing {
                    tracing::warn!("metrics are not served, everything else goes on: {failure}");
                }
            }
        }
    }

    /// When what failed is tried again.
    pub fn next_deadline(&self) -> Option<(Time, Timer)> {
        self.failures.retry_at().filter(|_| self.told.is_some()).map(|at| (at, Timer::Metrics))
    }
}
