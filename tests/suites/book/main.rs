//! The user's chapters, done as they say: every command as it stands there, on a machine of its own. Only root can boot
//! one; for others there is nothing to do.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod commands;
mod deploying;
mod doctor;
mod from_2;
mod npm;
mod quick_start;
mod readme;
mod recipes;
mod setup;
mod story;

use crate::story::Story;
use nodesockd_tests::chapter::Chapter;

/// Whose commands are run here.
const STORIES: [&Story; 12] = [
    &quick_start::STORY,
    &setup::STORY,
    &deploying::STORY,
    &commands::PROTOCOL,
    &commands::COMMANDS,
    &npm::INTEGRATION,
    &from_2::STORY,
    &npm::PACKAGE,
    &recipes::STORY,
    &readme::README,
    &readme::HELLO,
    &readme::EXPRESS,
];

/// Whose commands are all for elsewhere.
const UNTRIED: [Story; 9] = [
    Story {
        chapter: "examples/monitoring/README.md",
        left_out: &[("curl -s http://127.0.0.1:9464", "is tried by `metrics`, with Prometheus")],
    },
    Story {
        chapter: "examples/container/README.md",
        left_out: &[(
            "docker compose up",
            "takes an engine; `containers` does without one what these files say",
        )],
    },
    Story {
        chapter: "docs/15-containers.md",
        left_out: &[
            ("docker compose build", "is tried by `containers`, without an engine"),
            ("docker compose exec", "the same"),
        ],
    },
    Story {
        chapter: "docs/12-watching.md",
        left_out: &[
            ("nodesockd top", "is tried by `commands`"),
            ("nodesockd events", "is tried by `lifecycle`, as it ends with the daemon"),
            ("nodesockd history", "is tried by `lifecycle`"),
        ],
    },
    Story {
        chapter: "docs/13-fronts.md",
        left_out: &[("nodesockd proxy", "is tried by `fronts` and `docs`, with Caddy and HAProxy")],
    },
    Story {
        chapter: "CONTRIBUTING.md",
        left_out: &[
            ("cargo build", "builds what the tests run"),
            (
                "cargo run --profile sim -p nodesockd-sim -- --seed",
                "is about seeds and files that one has yet to name",
            ),
            ("UPDATE_SCHEMA=1", "writes files of the repository anew"),
            ("cargo run --profile sim -p nodesockd-sim --features defects", "is what tests/run does"),
            ("cargo mutants", "takes hours"),
        ],
    },
    Story {
        chapter: "docs/10-tests.md",
        left_out: &[("tests/run", "is what runs this"), ("NODESOCKD_SWEEP=all", "takes half an hour")],
    },
    Story {
        chapter: "bench/README.md",
        left_out: &[
            ("cargo run --release -p nodesockd-bench -- figures", "takes minutes, of a machine of its own"),
            ("cargo run --release -p nodesockd-bench -- scale", "the same"),
            ("cargo run --release -p nodesockd-bench -- zero-loss\n", "the same"),
            ("cargo run --release -p nodesockd-bench -- zero-loss ", "the same"),
            ("cargo run --release -p nodesockd-bench -- held", "the same"),
            ("cargo run --release -p nodesockd-bench -- sigterm", "the same"),
            ("cargo run --release -p nodesockd-bench -- recovery", "the same"),
            ("cargo run --release -p nodesockd-bench -- hangs", "the same"),
            ("cargo run --release -p nodesockd-bench -- idle", "the same"),
            ("cargo run --release -p nodesockd-bench -- deploys", "the same"),
            ("cargo run --release -p nodesockd-bench -- overlap", "the same"),
            ("cargo run --release -p nodesockd-bench -- batch", "the same"),
            ("cargo run --release -p nodesockd-bench -- fronts", "the same"),
            ("cargo run --release -p nodesockd-bench -- matrix", "the same"),
            ("cargo run --release -p nodesockd-bench -- log", "the same"),
            ("cargo run --release -p nodesockd-bench -- long", "the same"),
            ("cargo run --release -p nodesockd-bench -- metrics", "the same"),
            ("NODESOCKD_CHANGEOVERS=20", "takes minutes; the tests change over once"),
        ],
    },
    Story {
        chapter: "sim/regressions/README.md",
        left_out: &[("cargo run -p nodesockd-sim", "is about files that one has yet to name")],
    },
];

#[test]
fn every_shown_command_is_run_or_excused() {
    for chapter in Chapter::all() {
        let name = chapter.name();
        let blocks = chapter.blocks();
        let Some(first) = blocks.iter().find(|block| block.is_commands()) else { continue };
        let tried =
            STORIES.into_iter().find(|story| story.chapter == name).map(|story| story.steps(&chapter));
        if tried.is_none() {
            let untried = UNTRIED.iter().find(|story| story.chapter == name);
            let untried = untried.unwrap_or_else(|| panic!("{name}:{}: nobody runs this", first.line));
            let forgotten = untried.steps(&chapter).into_iter().find(|step| step.is_commands());
            assert!(forgotten.is_none(), "{name}: nobody runs {forgotten:?}");
        }
    }
}
