//! Deploys whose commands leave a trace each time they run.

use nodesockd_tests::App;

/// Its migration takes a moment and succeeds.
pub(super) const SUCCEEDS: [&str; 3] = ["deploy", "--migrate", "echo >> ../../migrated; sleep 0.05"];

/// Its migration fails and is undone.
pub(super) const FAILS: [&str; 5] = [
    "deploy",
    "--migrate",
    "echo >> ../../migrated; sleep 0.05; exit 3",
    "--revert",
    "echo >> ../../reverted; sleep 0.05",
];

/// How often commands have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ran {
    pub migrations: usize,
    pub reverts: usize,
}

impl Ran {
    /// In the life of an app.
    pub fn of(app: &App) -> Self {
        let lines = |name: &str| app.read(name).lines().count();
        Self { migrations: lines("migrated"), reverts: lines("reverted") }
    }

    pub fn since(self, earlier: Self) -> Self {
        Self { migrations: self.migrations - earlier.migrations, reverts: self.reverts - earlier.reverts }
    }
}
