//! Stopping everything that brings facts, so that none is on its way when the program is replaced.

use tokio::sync::watch;

/// Orders the tasks that bring facts to stop where they are, and learns when they have.
#[derive(Debug)]
pub(crate) struct Freezer(watch::Sender<bool>);

/// A task's end of that. Dropped, it says that the task has stopped.
#[derive(Debug, Clone)]
pub struct Frost(Option<watch::Receiver<bool>>);

impl Freezer {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// For one more task.
    pub(crate) fn frost(&self) -> Frost {
        Frost(Some(self.0.subscribe()))
    }

    /// Orders all tasks to stop.
    pub(crate) fn order(&self) {
        self.0.send_replace(true);
    }

    /// Returns when all have.
    pub(crate) async fn stopped(&self) {
        self.0.closed().await;
    }

    /// Tasks may start again.
    pub(crate) fn reset(&self) {
        self.0.send_replace(false);
    }
}

impl Frost {
    /// For a task that nobody stops.
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// Returns when the task is to stop.
    pub(crate) async fn comes(&mut self) {
        if let Some(ordered) = &mut self.0
            && ordered.wait_for(|ordered| *ordered).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}
