//! The clauses of the contract, in terms of what every backend has.

use std::time::Duration;

use nodesockd_core::Event;
use nodesockd_core::action::CommandSignal;
use nodesockd_core::action::WorkerSignal::{KillGroup, Terminate};
use nodesockd_core::backend::Backend as _;
use nodesockd_core::config::MetricsAddress;
use nodesockd_core::config::StopSignal::{Hup, Int, Quit, Term, Usr2};
use nodesockd_core::config::Symlinks::{Absolute, Relative};
use nodesockd_core::event::{ExitStatus, Queue};
use nodesockd_core::history::{Cause, Entry as HistoryEntry, Facts, Ledger, Outcome, What};
use nodesockd_core::id::Process;
use nodesockd_core::state::{Changes, CountersRecord, Entry, LeadershipRecord, State, VERSION};
use nodesockd_core::survey::{Own, Sight};
use nodesockd_core::wire::{FromWorker, ToWorker};
use nodesockd_sim::Left;

use crate::stage::{Errand, Part, Stage, about, pattern};

/// Nothing more is heard of a worker that has come to its end: not until another one has come and gone.
async fn is_over(stage: &mut impl Stage, worker: nodesockd_core::id::WorkerId) {
    let (other, process) = stage.spawn(Part::Exits(0));
    let mut facts = Vec::new();
    while !facts.contains(&Event::Exited { worker: other, status: ExitStatus::Code(0) }) {
        facts.push(stage.next().await);
    }
    stage.backend().reap(other, process).await;
    let late: Vec<_> = facts.iter().filter(|fact| about(fact) == Some(worker)).collect();
    assert!(late.is_empty(), "{late:?}");
}

pub async fn a_worker_reports_and_its_exit_is_told_once(stage: &mut impl Stage) {
    for suspended in [false, true] {
        let order = stage.order(Part::Serves, suspended);
        let worker = order.worker;
        let process = stage.backend().spawn(&order).expect("a process");
        assert_eq!(
            stage.next().await,
            Event::Received {
                worker,
                message: FromWorker::Online {
                    pid: None,
                    suspended,
                    heartbeat: true,
                    leads: Some(false),
                    counts: None
                }
            }
        );
        assert!(stage.holds(&pattern().socket(worker)), "online, and does not listen");
        stage.backend().tell(worker, None, &ToWorker::Shutdown);
        assert_eq!(stage.end(worker, process).await, ExitStatus::Code(0));
        is_over(stage, worker).await;
    }
}

pub async fn exits_are_told_by_code_and_by_signal(stage: &mut impl Stage) {
    for (part, status) in [
        (Part::Exits(0), ExitStatus::Code(0)),
        (Part::Exits(7), ExitStatus::Code(7)),
        (Part::DiesOf(9), ExitStatus::Signal(9)),
        (Part::DiesOf(15), ExitStatus::Signal(15)),
    ] {
        let (worker, process) = stage.spawn(part);
        assert_eq!(stage.end(worker, process).await, status);
    }
}

pub async fn what_cannot_be_started_leaves_nothing(stage: &mut impl Stage) {
    let order = stage.order(Part::Missing, false);
    let failure = stage.backend().spawn(&order).expect_err("a failure");
    assert!(!failure.0.is_empty());
    is_over(stage, order.worker).await;
}

pub async fn signals_reach_the_process_and_nobody_else(stage: &mut impl Stage) {
    let (worker, process) = stage.online(Part::Serves).await;
    let (other, others) = stage.online(Part::Serves).await;
    stage.backend().signal(worker, process, Terminate);
    stage.life(worker).await;
    // Exited, and not collected yet; then gone for good.
    stage.backend().signal(worker, process, Terminate);
    stage.backend().signal(worker, process, KillGroup);
    stage.backend().reap(worker, process).await;
    stage.backend().signal(worker, process, Terminate);
    stage.backend().signal(worker, process, KillGroup);
    is_over(stage, worker).await;
    stage.backend().tell(other, None, &ToWorker::Shutdown);
    assert_eq!(stage.end(other, others).await, ExitStatus::Code(0), "it lived until it was told");
}

pub async fn sigterm_reaches_who_serves_behind_a_wrapper(stage: &mut impl Stage) {
    let (worker, process) = stage.online(Part::Wrapped).await;
    let socket = pattern().socket(worker);
    let servers = stage.backend().terminate(worker, process, Some(&socket), Term, false);
    assert!(servers.len() == 1 && servers[0] != process, "{servers:?}");
    stage.until(|event| *event == Event::ServersEnded { worker }).await;
    // Nobody accepts any more; the wrapper is left in peace until it is told itself.
    assert_eq!(stage.backend().terminate(worker, process, Some(&socket), Term, true), []);
    stage.backend().signal(worker, process, Terminate);
    assert_eq!(stage.end(worker, process).await, ExitStatus::Signal(15));
}

pub async fn sigterm_is_for_the_worker_where_nobody_else_serves(stage: &mut impl Stage) {
    for again in [false, true] {
        let (worker, process) = stage.online(Part::Serves).await;
        let socket = pattern().socket(worker);
        assert_eq!(stage.backend().terminate(worker, process, Some(&socket), Term, again), []);
        assert_eq!(stage.end(worker, process).await, ExitStatus::Signal(15));
        assert_eq!(stage.backend().terminate(worker, process, Some(&socket), Term, again), [], "it is gone");
    }
}

pub async fn the_stop_signal_is_the_one_that_is_ordered(stage: &mut impl Stage) {
    for (signal, number) in [(Hup, 1), (Int, 2), (Quit, 3), (Usr2, 12)] {
        let (worker, process) = stage.online(Part::Serves).await;
        let socket = pattern().socket(worker);
        assert_eq!(stage.backend().terminate(worker, process, Some(&socket), signal, false), []);
        assert_eq!(stage.end(worker, process).await, ExitStatus::Signal(number));
    }
}

pub async fn a_worker_that_ignores_sigterm_is_killed_with_its_group(stage: &mut impl Stage) {
    let (worker, process) = stage.online(Part::IgnoresSigterm).await;
    stage.backend().signal(worker, process, Terminate);
    let request = ToWorker::AppRequest { id: "1".into(), request: "alive?".into(), data: None };
    stage.backend().tell(worker, None, &request);
    let answer = stage.next().await;
    assert!(matches!(answer, Event::Received { message: FromWorker::Reply { .. }, .. }), "{answer:?}");
    stage.backend().signal(worker, process, KillGroup);
    assert_eq!(stage.end(worker, process).await, ExitStatus::Signal(9));
}

pub async fn messages_reach_the_worker_and_answers_come_back(stage: &mut impl Stage) {
    let (worker, process) = stage.online(Part::Serves).await;
    for id in ["1", "2", "3"] {
        let request = ToWorker::AppRequest { id: id.into(), request: "ping".into(), data: None };
        stage.backend().tell(worker, None, &request);
    }
    for id in ["1", "2", "3"] {
        let Event::Received { worker: from, message: FromWorker::Reply { request, done, .. } } =
            stage.next().await
        else {
            panic!("no answer to {id}")
        };
        assert_eq!((from, request.as_str(), done), (worker, id, true));
    }
    stage.backend().tell(worker, None, &ToWorker::Shutdown);
    assert_eq!(stage.end(worker, process).await, ExitStatus::Code(0));
}

pub async fn pings_are_answered_by_their_numbers(stage: &mut impl Stage) {
    let (worker, process) = stage.online(Part::Serves).await;
    for seq in [1, 2, 7] {
        stage.backend().tell(worker, None, &ToWorker::Ping { seq });
    }
    for seq in [1, 2, 7] {
        let pong = FromWorker::Pong { seq, inspected: false, held: 0 };
        assert_eq!(stage.next().await, Event::Received { worker, message: pong });
    }
    stage.backend().tell(worker, None, &ToWorker::Shutdown);
    assert_eq!(stage.end(worker, process).await, ExitStatus::Code(0));
}

pub async fn words_about_who_leads_are_confirmed_by_their_terms(stage: &mut impl Stage) {
    let (worker, process) = stage.online(Part::Serves).await;
    for (leads, term) in [(true, 4), (false, 9)] {
        stage.backend().tell(worker, None, &ToWorker::Leader { leads, term });
        let confirmed = FromWorker::Leader { leads, term };
        assert_eq!(stage.next().await, Event::Received { worker, message: confirmed });
    }
    stage.backend().tell(worker, None, &ToWorker::Shutdown);
    assert_eq!(stage.end(worker, process).await, ExitStatus::Code(0));
}

pub async fn the_kernel_tells_what_a_process_does(stage: &mut impl Stage) {
    let (worker, process) = stage.online(Part::Serves).await;
    let vitals = stage.backend().examine(worker, process).expect("it lives");
    assert!(matches!(vitals.state, 'R' | 'S' | 'D') && !vitals.traced, "{vitals:?}");
    let other = Process { started: process.started + 1, ..process };
    stage.backend().examine(worker, other).expect_err("another process, which is not there");
    stage.backend().tell(worker, None, &ToWorker::Shutdown);
    assert_eq!(stage.end(worker, process).await, ExitStatus::Code(0));
    stage.backend().examine(worker, process).expect_err("it is gone");
}

pub async fn a_closed_channel_is_told_once(stage: &mut impl Stage) {
    let (worker, process) = stage.spawn(Part::ClosesChannel);
    let closed = Event::ChannelClosed { worker };
    stage.until(|event| *event == closed).await;
    // It lives, and cannot be told anything; that is no news.
    stage.backend().tell(worker, None, &ToWorker::Resume { fd: None });
    stage.backend().tell(worker, None, &ToWorker::Shutdown);
    stage.backend().signal(worker, process, Terminate);
    let exited = Event::Exited { worker, status: ExitStatus::Signal(15) };
    assert_eq!(stage.until(|event| about(event) == Some(worker)).await, [exited]);
    stage.backend().reap(worker, process).await;
    stage.backend().tell(worker, None, &ToWorker::Resume { fd: None });
    is_over(stage, worker).await;
}

pub async fn facts_of_one_worker_come_in_order(stage: &mut impl Stage) {
    let (worker, process) = stage.spawn(Part::Breaks);
    let life = stage.life(worker).await;
    let said = |message| Event::Received { worker, message };
    let reason = Some("out of memory soon".to_owned());
    assert_eq!(
        life[..2],
        [
            said(FromWorker::Online {
                pid: None,
                suspended: false,
                heartbeat: true,
                leads: Some(false),
                counts: None
            }),
            said(FromWorker::Broken { reason })
        ]
    );
    // Which of the two is noticed first, nobody can tell.
    assert_eq!(life.len(), 4, "{life:?}");
    assert!(life.contains(&Event::Exited { worker, status: ExitStatus::Code(3) }));
    stage.backend().reap(worker, process).await;
}

pub async fn a_link_is_swapped_and_withdrawn(stage: &mut impl Stage) {
    let (first, second) = (stage.worker(), stage.worker());
    let (first, second) = (pattern().socket(first), pattern().socket(second));
    // What an earlier daemon left half-done is no obstacle.
    stage.put(".app.0.sock.new", Left::Link("stale"));
    stage.backend().publish("app.0.sock", &first, Relative).expect("a link");
    assert_eq!(stage.target("app.0.sock"), Some(first));
    stage.backend().publish("app.0.sock", &second, Absolute).expect("a link");
    assert_eq!(stage.target("app.0.sock"), Some(stage.absolute(&second)));
    assert!(!stage.holds(".app.0.sock.new"));
    stage.backend().withdraw("app.0.sock").expect("no link");
    assert!(!stage.holds("app.0.sock"));
    stage.backend().withdraw("app.0.sock").expect("no link");
}

pub async fn what_others_remove_is_told(stage: &mut impl Stage) {
    let (first, second) = (stage.worker(), stage.worker());
    let (first, second) = (pattern().socket(first), pattern().socket(second));
    stage.backend().publish("app.0.sock", &first, Relative).expect("a link");
    stage.backend().publish("app.1.sock", &second, Absolute).expect("a link");
    let complete = stage.backend().survey();
    assert!(complete.complete);
    assert_eq!(complete.sight("app.0.sock"), Some(&Sight::Link(first)));
    assert_eq!(complete.sight("app.1.sock"), Some(&Sight::Link(second)));
    assert_eq!(complete.sight("app.2.sock"), Some(&Sight::Nothing));
    stage.take("app.1.sock");
    let tells =
        |event: &Event| matches!(event, Event::Surveyed(survey) if survey.entries.contains_key("app.1.sock"));
    let told = stage.until(tells).await.pop();
    let Some(Event::Surveyed(survey)) = told else { panic!("{told:?}") };
    assert_eq!(survey.sight("app.1.sock"), Some(&Sight::Nothing));
    assert_eq!(survey.sight("app.0.sock"), None, "nobody has touched that one");
}

pub async fn what_is_there_can_be_restored(stage: &mut impl Stage) {
    for own in Own::ALL {
        assert_eq!(stage.backend().restore(own), Ok(()), "{own:?}");
        assert_eq!(stage.backend().restore(own), Ok(()), "{own:?}");
    }
    assert!(stage.backend().survey().lost.is_empty());
}

pub async fn the_socket_of_metrics_is_missed_and_made_again(stage: &mut impl Stage) {
    let name = "metrics.sock";
    let address = MetricsAddress::Unix(stage.absolute(name).into());
    stage.backend().serve_metrics(Some(&address)).expect("a socket");
    assert!(stage.holds(name) && stage.backend().survey().lost.is_empty());
    stage.take(name);
    let tells = |event: &Event| matches!(event, Event::Surveyed(survey) if survey.lost.contains_key(&Own::MetricsSocket));
    stage.until(tells).await;
    stage.backend().restore(Own::MetricsSocket).expect("a socket");
    assert!(stage.holds(name) && stage.backend().survey().lost.is_empty());
    stage.take(name);
    stage.backend().serve_metrics(None).expect("nothing to do");
    assert!(stage.backend().survey().lost.is_empty(), "nobody misses it now");
    stage.backend().restore(Own::MetricsSocket).expect("nothing to do");
    assert!(!stage.holds(name));
}

pub async fn what_is_in_the_way_is_left_alone(stage: &mut impl Stage) {
    for left in [Left::Plain, Left::Socket] {
        stage.put("app.0.sock", left);
        stage.backend().publish("app.0.sock", "elsewhere", Relative).expect_err("in the way");
        stage.backend().withdraw("app.0.sock").expect_err("no symlink");
        assert!(stage.holds("app.0.sock") && stage.target("app.0.sock").is_none());
        assert!(!stage.holds(".app.0.sock.new"));
        stage.take("app.0.sock");
    }
}

pub async fn only_sockets_are_removed(stage: &mut impl Stage) {
    let worker = stage.worker();
    let socket = pattern().socket(worker);
    stage.backend().remove(&socket).expect("nothing to remove");
    for left in [Left::Plain, Left::Link("elsewhere")] {
        stage.put(&socket, left);
        stage.backend().remove(&socket).expect_err("no socket");
        assert!(stage.holds(&socket));
        stage.take(&socket);
    }
    stage.put(&socket, Left::Socket);
    stage.backend().remove(&socket).expect("removed");
    assert!(!stage.holds(&socket));
}

pub async fn the_kernel_knows_the_queue(stage: &mut impl Stage) {
    let nobody = stage.worker();
    assert_eq!(stage.backend().measure_queue(nobody, &pattern().socket(nobody)), Queue::Closed);

    let (worker, process) = stage.online(Part::Serves).await;
    let socket = pattern().socket(worker);
    stage.backend().publish("app.0.sock", &socket, Relative).expect("a link");
    assert_eq!(stage.backend().measure_queue(worker, &socket), Queue::Length(0));
    for length in 1..=3 {
        assert!(stage.connect("app.0.sock"));
        assert_eq!(stage.backend().measure_queue(worker, &socket), Queue::Length(length));
        assert_eq!(stage.backend().count_waiting(worker, &socket), Queue::Length(length));
    }
    // The file goes, the queue stays.
    stage.take(&socket);
    assert!(!stage.connect("app.0.sock"));
    assert_eq!(stage.backend().measure_queue(worker, &socket), Queue::Length(3));
    stage.backend().signal(worker, process, KillGroup);
    stage.end(worker, process).await;
    assert_eq!(stage.backend().measure_queue(worker, &socket), Queue::Closed);
}

pub async fn the_kernel_tells_who_waits_in_a_queue(stage: &mut impl Stage) {
    let nobody = stage.worker();
    assert_eq!(stage.backend().list_queue(nobody, &pattern().socket(nobody)), Ok(Vec::new()));
    let (worker, process) = stage.online(Part::Serves).await;
    let socket = pattern().socket(worker);
    stage.backend().publish("app.0.sock", &socket, Relative).expect("a link");
    let mut before = Vec::new();
    for length in 0..4 {
        let waiting = stage.backend().list_queue(worker, &socket).expect("the kernel tells");
        assert_eq!(waiting.len(), length);
        assert!(waiting.starts_with(&before), "{waiting:?} after {before:?}");
        assert!(length == 0 || !before.contains(&waiting[length - 1]), "each has its own number");
        before = waiting;
        assert!(stage.connect("app.0.sock"));
    }
    stage.backend().signal(worker, process, KillGroup);
    stage.end(worker, process).await;
    assert_eq!(stage.backend().list_queue(worker, &socket), Ok(Vec::new()));
}

pub async fn the_kernel_knows_what_a_worker_has_used(stage: &mut impl Stage) {
    let (worker, process) = stage.online(Part::Serves).await;
    let used = stage.backend().measure_cpu(worker, process).expect("it is alive").used;
    let later = stage.backend().measure_cpu(worker, process).expect("it is alive").used;
    assert!(later >= used, "{used:?}, then {later:?}");
    let another = Process { started: process.started + 1, ..process };
    stage.backend().measure_cpu(worker, another).expect_err("another process had that pid");
    stage.backend().signal(worker, process, KillGroup);
    stage.end(worker, process).await;
    stage.backend().measure_cpu(worker, process).expect_err("it is gone");
}

pub async fn a_sweep_takes_what_is_of_no_use(stage: &mut impl Stage) {
    let (living, process) = stage.online(Part::Serves).await;
    let (dead, plain, odd) = (stage.worker(), stage.worker(), stage.worker());
    let [living_socket, dead, plain, odd] = [living, dead, plain, odd].map(|worker| pattern().socket(worker));
    stage.put(&dead, Left::Socket);
    stage.put("app.0.sock", Left::Link(&dead));
    stage.put("app.1.sock", Left::Link(&living_socket));
    stage.put("app.2.sock", Left::Link("nowhere"));
    stage.put(".app.3.sock.new", Left::Link(&living_socket));
    // Not what their names say, or with other names: none of ours.
    stage.put(&plain, Left::Plain);
    stage.put(&odd, Left::Link("nowhere"));
    stage.put("app.4.sock", Left::Plain);
    stage.put("app.5.sock", Left::Socket);
    stage.put("app.x.sock", Left::Socket);
    stage.put("other.0.sock", Left::Link("nowhere"));
    assert_eq!(stage.backend().sweep(&pattern()), Ok(4));
    for gone in [&dead, "app.0.sock", "app.2.sock", ".app.3.sock.new"] {
        assert!(!stage.holds(gone), "{gone}");
    }
    let strangers = ["app.4.sock", "app.5.sock", "app.x.sock", "other.0.sock"];
    for kept in [&living_socket, "app.1.sock", &plain, &odd].into_iter().chain(strangers) {
        assert!(stage.holds(kept), "{kept}");
    }
    assert_eq!(stage.backend().sweep(&pattern()), Ok(0));
    assert_eq!(
        stage.backend().measure_queue(living, &living_socket),
        Queue::Length(0),
        "it was connected to"
    );
    stage.backend().signal(living, process, KillGroup);
    stage.end(living, process).await;
}

pub async fn a_state_file_is_replaced_and_removed(stage: &mut impl Stage) {
    let mut state = State {
        version: VERSION,
        boot_id: None,
        running: true,
        slots: 2,
        standby: 0,
        suspended: false,
        suspension: None,
        socket_dir: None,
        socket_files: Vec::new(),
        guessing: false,
        generation: 1,
        release: None,
        leadership: LeadershipRecord::default(),
        workers: Vec::new(),
        deploy: None,
        rollout: None,
        batches: None,
        history: Ledger::default(),
        counters: CountersRecord::default(),
        hook: None,
    };
    stage.backend().persist(None).expect("nothing to remove");
    for slots in [2, 3] {
        state.slots = slots;
        stage.backend().persist(Some(&Entry::Whole(Box::new(state.clone())))).expect("written");
        let changes = Changes { daemon: Some(state.clone()), ..Changes::default() };
        stage.backend().persist(Some(&Entry::Changes(Box::new(changes)))).expect("added to");
    }
    stage.backend().persist(None).expect("removed");
    stage.backend().persist(None).expect("nothing to remove");
}

pub async fn entries_are_added_to_the_history(stage: &mut impl Stage) {
    for number in 1..4 {
        let now = stage.backend().now();
        let facts = Facts::of(number, What::Reload, Cause::default());
        let facts = Facts { outcome: Some(Outcome::Done), ..facts };
        stage.backend().record(&HistoryEntry { began: now, ended: now, facts }).expect("written");
    }
    let config = stage.backend().load_config().expect("a configuration");
    let history = stage.backend().find_leftovers(&config).history;
    let numbers: Vec<u64> = history.iter().map(|line| line.facts.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

pub async fn a_deadline_is_kept(stage: &mut impl Stage) {
    let before = stage.backend().now();
    let deadline = before + Duration::from_millis(20);
    assert_eq!(stage.backend().next(Some(deadline)).await, None);
    assert!(stage.backend().now() >= deadline, "it was given up early");
    // A fact does not come before a deadline that has passed, and is not lost by that.
    let (worker, process) = stage.spawn(Part::Exits(0));
    assert_eq!(stage.backend().next(Some(before)).await, None);
    assert_eq!(stage.end(worker, process).await, ExitStatus::Code(0));
    let now = stage.backend().now();
    assert_eq!(stage.backend().next(Some(now)).await, None);
}

pub async fn a_command_tells_what_it_writes_and_then_its_end(stage: &mut impl Stage) {
    for (errand, code) in [(Errand::Succeeds, 0), (Errand::Fails, 1)] {
        let process = stage.run(errand);
        let lines = vec!["half of it is done".to_owned()];
        let wrote = Event::CommandWrote { process, lines };
        let ended = Event::CommandEnded { process, status: ExitStatus::Code(code) };
        assert_eq!(stage.course(process).await, [wrote, ended]);
    }
}

pub async fn a_command_is_ended_by_signals(stage: &mut impl Stage) {
    for (signal, number) in [(CommandSignal::Terminate, 15), (CommandSignal::Kill, 9)] {
        let process = stage.run(Errand::TakesLong);
        stage.backend().signal_command(process, signal);
        let ended = Event::CommandEnded { process, status: ExitStatus::Signal(number) };
        assert_eq!(stage.course(process).await.last(), Some(&ended));
        // Nobody gets it any more.
        stage.backend().signal_command(process, signal);
    }
}

pub async fn a_command_that_has_ended_is_told_to_whoever_watches_it(stage: &mut impl Stage) {
    let process = stage.run(Errand::Succeeds);
    stage.course(process).await;
    stage.backend().watch_command(process);
    let ended = Event::CommandEnded { process, status: ExitStatus::Unknown };
    assert_eq!(stage.course(process).await, [ended]);
}
