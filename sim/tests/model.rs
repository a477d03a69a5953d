//! The supervisor against a model of what an operator may rely on, under random commands.

use std::num::NonZeroU32;

use nodesockd_sim::model::{Command, rehearse};
use nodesockd_sim::{Ask, Settings};
use proptest::prelude::*;

fn command() -> impl Strategy<Value = Command> {
    let count = || (1u32..5).prop_map(|count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
    let attempts = || proptest::option::of(count());
    let ask = prop_oneof![
        2 => (any::<bool>(), attempts()).prop_map(|(suspended, attempts)| Ask::Start { suspended, attempts }),
        4 => (any::<bool>(), attempts(), any::<bool>())
            .prop_map(|(suspended, attempts, wait)| Ask::Restart { suspended, attempts, wait, until_swap: false }),
        2 => (proptest::option::of(0usize..2), prop_oneof![Just(0), Just(1000)])
            .prop_map(|(release, watch_ms)| Ask::Deploy { release, watch_ms }),
        2 => Just(Ask::Resume),
        1 => Just(Ask::Stop),
        2 => count().prop_map(Ask::SetWorkers),
        2 => (0u32..3).prop_map(Ask::SetStandby),
        2 => any::<bool>().prop_map(|suspended| Ask::Upgrade { suspended }),
        2 => Just(Ask::Reload),
        1 => Just(Ask::Status),
    ];
    prop_oneof![
        6 => ask.prop_map(Command::Ask),
        1 => any::<bool>().prop_map(|works| Command::Deploy { works }),
        1 => (1u32..5, 0u32..3).prop_map(|(workers, standby)| Command::Edit { workers, standby }),
        2 => (0u32..8).prop_map(|nth| Command::Kill { nth }),
    ]
}

proptest! {
    #[test]
    fn the_supervisor_does_what_the_model_says(
        workers in 1u32..4,
        standby in 0u32..3,
        commands in proptest::collection::vec(command(), 1..20),
    ) {
        let settings = Settings { workers, standby, ..Settings::default() };
        prop_assert_eq!(rehearse(&settings, &commands), Ok(()));
    }
}
