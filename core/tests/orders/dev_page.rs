//! What the dev server shows while no worker can answer, and that it shows nothing while one can.

use std::time::Duration;

use nodesockd_core::event::{DaemonSignal, Dying, ExitStatus, Failure};
use nodesockd_core::id::SlotIndex;
use nodesockd_core::page::html::html;
use nodesockd_core::page::text::text;
use nodesockd_core::page::{LINE, LINES, Page, State};
use nodesockd_core::wire::{FailedWorker, Request, StartOptions};
use nodesockd_core::{Action, Event, Supervisor, Time};

use super::desk::{Desk, newer, restart};
use super::handoff::upgraded;

const DEV: &str = "devServer = 8000\nname = 'shop'";

impl Desk {
    /// What the dev server shows now.
    fn page(&self) -> Option<Page> {
        let shown = self.orders.iter().rev().find_map(|action| match action {
            Action::ShowPage { page } => Some(page.as_deref().cloned()),
            _ => None,
        });
        shown.flatten()
    }

    /// A worker exits, and it becomes known what it wrote last.
    fn fail(&mut self, nth: usize, words: &str) {
        let worker = self.worker(nth);
        self.exit(worker);
        self.hear(Event::LastLines { worker, lines: vec![words.to_owned()] });
    }
}

fn state(desk: &Desk) -> Option<State> {
    desk.page().map(|page| page.state)
}

fn lines(desk: &Desk) -> Vec<String> {
    desk.page().and_then(|page| page.worker).map(|worker| worker.lines).unwrap_or_default()
}

#[test]
fn a_worker_that_boots_is_waited_for_until_one_has_failed() {
    let mut desk = Desk::new(DEV);
    assert_eq!(desk.page(), None, "it boots for the first time");
    let first = desk.worker(0);
    desk.exit(first);
    assert_eq!(desk.page(), None, "it is not known yet what it wrote");
    desk.hear(Event::LastLines { worker: first, lines: vec!["SyntaxError".into()] });
    let page = desk.page();
    assert_eq!(page.as_ref().map(|page| page.app.as_str()), Some("shop"));
    let worker = page.and_then(|page| page.worker);
    let said = worker.as_ref().map(|worker| (worker.id, worker.reason.as_str(), worker.lines.join("")));
    assert_eq!(said, Some((first, "it exited with status 1", "SyntaxError".into())));
    // The next one was started at once; that one has to wait for its turn.
    assert_eq!(state(&desk), Some(State::Failing { failures: 1, retry: None }));
    desk.fail(1, "ReferenceError");
    let retry = Some(desk.now + Duration::from_millis(100));
    assert_eq!(state(&desk), Some(State::Failing { failures: 2, retry }));
    assert_eq!(lines(&desk), ["ReferenceError"]);
    desk.pass(Duration::from_millis(100));
    assert_eq!(state(&desk), Some(State::Failing { failures: 2, retry: None }));
    desk.online(desk.worker(2));
    assert_eq!(desk.page(), None);
}

#[test]
fn nothing_is_shown_while_another_worker_serves() {
    let mut desk = Desk::new(&format!("{DEV}\nworkers = 2"));
    desk.online(desk.worker(0));
    desk.fail(1, "SyntaxError");
    desk.fail(2, "SyntaxError");
    assert_eq!(desk.page(), None);
    desk.fail(0, "TypeError");
    assert_eq!(desk.page(), None, "another one follows it at once");
    desk.fail(3, "ReferenceError");
    assert_eq!(lines(&desk), ["ReferenceError"]);
}

#[test]
fn a_worker_that_follows_at_once_one_that_had_served_is_waited_for() {
    let mut desk = Desk::up(DEV);
    desk.fail(0, "TypeError");
    assert_eq!(desk.page(), None);
    desk.all_online();
    desk.fail(1, "TypeError");
    assert_eq!(lines(&desk), ["TypeError"], "a row of failures makes the next one wait");
    desk.pass(Duration::from_millis(100));
    assert_eq!(desk.page(), None, "the next one boots");
    desk.fail(2, "SyntaxError");
    assert_eq!(lines(&desk), ["SyntaxError"]);
}

#[test]
fn a_command_that_may_bring_workers_is_waited_for() {
    let mut desk = Desk::new(DEV);
    desk.fail(0, "SyntaxError");
    desk.ask("r", restart(StartOptions::default()));
    assert_eq!(desk.page(), None);
    let new = desk.spawned.len() - 1;
    desk.fail(new, "ReferenceError");
    assert_eq!(lines(&desk), ["ReferenceError"], "what failed last is shown, whoever asked for it");
    let asked = |desk: &Desk| {
        let worker = desk.worker(new);
        desk.count(|action| *action == Action::AskLastLines { worker })
    };
    assert_eq!(asked(&desk), 1, "the client and the dev server are told the same");
}

#[test]
fn a_stopped_app_says_so_until_it_is_started() {
    let mut desk = Desk::up(DEV);
    desk.ask("s", Request::Stop);
    assert_eq!(state(&desk), Some(State::Stopped));
    desk.ask("t", Request::Start(StartOptions::default()));
    assert_eq!(desk.page(), None);
    desk.fail(1, "SyntaxError");
    assert_eq!((state(&desk), lines(&desk)), (Some(State::Stopped), vec!["SyntaxError".to_owned()]));
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    assert_eq!(desk.page(), None, "there is no dev server any more");
}

#[test]
fn what_a_worker_died_of_is_shown_as_soon_as_it_is_known() {
    let mut desk = Desk::new(DEV);
    let worker = desk.worker(0);
    desk.hear(Event::Dying { worker, cause: Dying::DumpsCore });
    desk.hear(Event::LastLines { worker, lines: Vec::new() });
    desk.hear(Event::Exited { worker, status: ExitStatus::Code(7) });
    let reason = desk.page().and_then(|page| page.worker).map(|worker| worker.reason);
    assert_eq!(reason.as_deref(), Some("it exited with status 7"));
}

#[test]
fn a_sink_that_does_not_answer_holds_no_page_up_for_long() {
    let mut desk = Desk::new(DEV);
    desk.exit(desk.worker(0));
    desk.pass(Duration::from_millis(1999));
    assert_eq!(desk.page(), None);
    desk.hear(Event::SinkEnded { failure: Failure("it was killed".into()) });
    assert_eq!(lines(&desk), Vec::<String>::new());
    assert!(desk.page().is_some());
}

#[test]
fn without_a_dev_server_nobody_is_asked_and_nothing_is_shown() {
    let mut desk = Desk::new("[options]\nstderr = 'discard'");
    desk.fail(0, "SyntaxError");
    let unasked = |action: &Action| matches!(action, Action::AskLastLines { .. } | Action::ShowPage { .. });
    assert_eq!(desk.count(unasked), 0);
}

#[test]
fn a_program_that_takes_over_shows_nothing_before_it_knows() {
    let mut desk = Desk::new(DEV);
    desk.fail(0, "SyntaxError");
    desk.fail(1, "SyntaxError");
    assert!(desk.page().is_some());
    let handoff = desk.hand_off();
    let config = desk.config.clone();
    let after = Supervisor::take_over(config.clone(), newer(), handoff, desk.now);
    let mut after = Desk::after(&desk, after, config);
    after.obey();
    assert_eq!(after.page(), None);
}

fn page(reason: &str, lines: Vec<String>) -> Page {
    let desk = Desk::new("");
    let id = desk.worker(0);
    let worker = FailedWorker { id, idx: Some(SlotIndex(0)), reason: reason.into(), stderr: None, lines };
    let retry = Some(Time::ZERO + Duration::from_millis(12_800));
    Page { app: "shop".into(), state: State::Failing { failures: 8, retry }, worker: Some(worker) }
}

fn trace() -> Page {
    let lines = [
        "/srv/shop/app.js:3",
        "  if (a < b && c > \"d\") {",
        "           ^",
        "SyntaxError: </pre><script>alert('x')</script>",
    ];
    page("it exited with status 1", lines.map(str::to_owned).to_vec())
}

#[test]
fn the_page_is_told_in_three_forms() {
    let page = trace();
    insta::assert_snapshot!("page_html", html(&page, Time::ZERO, true));
    insta::assert_snapshot!("page_text", text(&page, Time::ZERO));
    insta::assert_snapshot!("page_json", page.json(|time| 1_800_000_000_000 + time.as_nanos() / 1_000_000));
    let stopped = Page { state: State::Stopped, worker: None, ..page };
    insta::assert_snapshot!("page_stopped_text", text(&stopped, Time::ZERO));
    insta::assert_snapshot!("page_stopped_json", stopped.json(|_| 0));
}

#[test]
fn nothing_from_outside_is_more_than_words() {
    let hostile = "<script>alert(1)</script><b title='x' onload=\"y\">&amp;\x1b[2J\u{202e}\n";
    let mut page = page(hostile, vec![hostile.to_owned(); 3]);
    page.app = hostile.into();
    let html = html(&page, Time::ZERO, false);
    for raw in ["<script", "<b ", "='x'", "=\"y\"", "\x1b", "\u{202e}"] {
        assert!(!html.contains(raw), "{raw:?} in {html}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    for text in [text(&page, Time::ZERO), page.json(|_| 0)] {
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'), "{text}");
    }
}

#[test]
fn few_lines_are_shown_and_none_of_any_length() {
    let many = (0..1000).map(|nth| format!("{nth} {}", "x".repeat(10_000))).collect();
    let page = page("it exited with status 1", many);
    for form in [html(&page, Time::ZERO, true), text(&page, Time::ZERO), page.json(|_| 0)] {
        assert!(form.len() < LINES * LINE * 2, "{}", form.len());
        assert!(form.contains("999 x") && !form.contains("979 x"), "the last ones are shown");
    }
}

#[test]
fn file_that_a_worker_wrote_to_is_named_with_few_words() {
    let mut page = trace();
    let file = |name: String| page.worker.clone().map(|worker| FailedWorker { stderr: Some(name), ..worker });
    let (short, long) = (file("/var/log/shop.err".into()), file("x".repeat(10_000)));
    page.worker = short;
    assert!(page.json(|_| 0).contains(r#""stderr":"/var/log/shop.err""#));
    page.worker = long;
    let json = page.json(|_| 0);
    assert!(json.contains(r#""stderr":"xxx"#) && json.len() < 2000, "{}", json.len());
}

#[test]
fn dev_server_that_was_told_everything_is_not_told_again_after_an_upgrade() {
    let desk = Desk::up(DEV);
    let serves = |action: &Action| matches!(action, Action::ServeDev { .. });
    assert_eq!(desk.count(serves), 1);
    assert_eq!(upgraded(desk).count(serves), 0);
}

#[test]
fn a_client_is_told_when_to_ask_again() {
    let page = trace();
    assert_eq!(page.retry_after(Time::ZERO), 13);
    assert_eq!(page.retry_after(Time::ZERO + Duration::from_secs(60)), 1);
    assert_eq!(Page { state: State::Stopped, ..page }.retry_after(Time::ZERO), 1);
}
