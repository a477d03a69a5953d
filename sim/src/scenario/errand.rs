//! The commands of a deploy.

use serde::{Deserialize, Serialize};

/// A command of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// What it is for.
    pub purpose: Purpose,
    /// How long it takes, in ms.
    pub for_ms: u64,
    /// How it ends.
    pub finish: Finish,
}

/// What a command of a deploy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// `--migrate`
    Migrate,
    /// `--revert`
    Revert,
}

/// How a command of a deploy ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// With status 0.
    Succeeds,
    /// With another one.
    Fails,
    /// With status 0, and not before.
    IgnoresSigterm,
}

impl std::fmt::Display for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { purpose, for_ms, finish } = self;
        write!(f, "{purpose:?} {for_ms} {finish:?}")
    }
}

impl Errand {
    /// What such a command line means.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [purpose, for_ms, finish] = words.as_slice() else { return None };
        let purpose =
            [Purpose::Migrate, Purpose::Revert].into_iter().find(|its| format!("{its:?}") == *purpose);
        let all = [Finish::Succeeds, Finish::Fails, Finish::IgnoresSigterm];
        let finish = all.into_iter().find(|its| format!("{its:?}") == *finish);
        Some(Self { purpose: purpose?, for_ms: for_ms.parse().ok()?, finish: finish? })
    }
}
