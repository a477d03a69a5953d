//! Stops all tasks that bring facts, so that no fact is on its way when the program is replaced.

use tokio::sync::watch;

/// Asks the tasks that bring facts to stop where they are, and learns when they have stopped.
#[derive(Debug)]
pub(crate) struct Pause(watch::Sender<bool>);

/// A task's end of a [`Pause`]. Dropping it says that the task has stopped.
#[derive(Debug, Clone)]
pub struct PauseToken(Option<watch::Receiver<bool>>);

impl Pause {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// A token for one more task.
    pub(crate) fn token(&self) -> PauseToken {
        PauseToken(Some(self.0.subscribe()))
    }

    /// Asks all tasks to stop.
    pub(crate) fn request(&self) {
        self.0.send_replace(true);
    }

    /// Returns when all tasks have stopped: no token is left.
    pub(crate) async fn stopped(&self) {
        self.0.closed().await;
    }

    /// Allows tasks to start again.
    pub(crate) fn reset(&self) {
        self.0.send_replace(false);
    }
}

impl PauseToken {
    /// A token for a task that nobody stops.
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// Returns when the task has to stop.
    pub(crate) async fn requested(&mut self) {
        if let Some(requested) = &mut self.0
            && requested.wait_for(|requested| *requested).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}
