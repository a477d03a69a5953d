//! The contract of `nodesockd_core::backend`, held against both of its backends: the real one, with processes, sockets
//! and links of this machine, and the simulated one. What is proved in simulation is worth as much as this.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops, and says where")]

mod contract;
mod real;
mod simulated;
mod stage;

/// One test for each clause of the contract and each backend.
macro_rules! clauses {
    ($($clause:ident),+ $(,)?) => {
        mod on_this_machine {
            $(#[tokio::test] async fn $clause() { crate::contract::$clause(&mut crate::real::Real::new()).await; })+
        }
        mod in_simulation {
            $(#[tokio::test] async fn $clause() { crate::contract::$clause(&mut crate::simulated::new()).await; })+
        }
    };
}

clauses![
    a_worker_reports_and_its_exit_is_told_once,
    exits_are_told_by_code_and_by_signal,
    what_cannot_be_started_leaves_nothing,
    signals_reach_the_process_and_nobody_else,
    sigterm_reaches_who_serves_behind_a_wrapper,
    sigterm_is_for_the_worker_where_nobody_else_serves,
    the_stop_signal_is_the_one_that_is_ordered,
    a_worker_that_ignores_sigterm_is_killed_with_its_group,
    messages_reach_the_worker_and_answers_come_back,
    pings_are_answered_by_their_numbers,
    words_about_who_leads_are_confirmed_by_their_terms,
    the_kernel_tells_what_a_process_does,
    a_closed_channel_is_told_once,
    facts_of_one_worker_come_in_order,
    a_link_is_swapped_and_withdrawn,
    what_others_remove_is_told,
    what_is_there_can_be_restored,
    the_socket_of_metrics_is_missed_and_made_again,
    what_is_in_the_way_is_left_alone,
    only_sockets_are_removed,
    the_kernel_knows_the_queue,
    the_kernel_tells_who_waits_in_a_queue,
    the_kernel_knows_what_a_worker_has_used,
    a_sweep_takes_what_is_of_no_use,
    a_state_file_is_replaced_and_removed,
    entries_are_added_to_the_history,
    a_deadline_is_kept,
    a_command_tells_what_it_writes_and_then_its_end,
    a_command_is_ended_by_signals,
    a_command_that_has_ended_is_told_to_whoever_watches_it,
];
