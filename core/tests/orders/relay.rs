//! Messages and requests between clients and workers.

use nodesockd_core::event::ExitStatus;
use nodesockd_core::id::ConnId;
use nodesockd_core::wire::{Body, FromWorker, Request, ToWorker};
use nodesockd_core::{Action, Event};

use super::desk::Desk;

#[test]
fn every_worker_answers_for_itself() {
    let mut desk = Desk::up("workers = 2\nstandby = 1");
    let request = Request::SendRequest { request: "ping".into(), data: None, workers: None };
    assert_eq!(desk.ask("r", request), []);
    let asked = |action: &Action| match action {
        Action::Tell { worker, message: ToWorker::AppRequest { id, .. }, .. } => Some((*worker, id.clone())),
        _ => None,
    };
    let asked: Vec<_> = desk.orders.iter().filter_map(asked).collect();
    let slots: Vec<_> =
        desk.supervisor.status().workers.iter().filter(|row| row.slot.is_some()).map(|row| row.id).collect();
    assert_eq!(asked.iter().map(|(worker, _)| *worker).collect::<Vec<_>>().len(), slots.len());
    assert!(slots.iter().all(|slot| asked.iter().any(|(worker, _)| worker == slot)));
    assert_eq!(
        desk.supervisor.pending().map(|pending| pending.to_string()),
        Some("2 requests wait for workers".into())
    );

    let [(first, id), (second, _)] = asked.as_slice() else { panic!("{asked:?}") };
    let answer = |request: &str, done| FromWorker::Reply {
        request: request.to_owned(),
        answers: true,
        data: None,
        errors: Vec::new(),
        done,
    };
    // What another one says in its place does not count.
    desk.hear(Event::Received { worker: *second, message: answer(id, true) });
    assert_eq!(desk.replies("r"), []);
    desk.hear(Event::Received { worker: *first, message: answer(id, false) });
    desk.hear(Event::Received { worker: *first, message: answer(id, true) });
    assert_eq!((desk.replies("r").len(), desk.end("r")), (2, None));
    desk.hear(Event::Exited { worker: *second, status: ExitStatus::Code(3) });
    let Some(Body::Answer { errors, .. }) = desk.replies("r").get(2).and_then(|reply| reply.body.clone())
    else {
        panic!("{:?}", desk.replies("r"))
    };
    assert_eq!(errors, ["the worker did not answer: it exited with status 3"]);
    assert_eq!(desk.end("r"), Some((None, String::new())));
    assert_eq!(
        desk.supervisor.pending().map(|pending| pending.to_string().contains("requests")),
        Some(false)
    );
}

#[test]
fn a_worker_does_not_get_more_requests_than_it_can_answer() {
    let mut desk = Desk::up("");
    let request = || Request::SendRequest { request: "ping".into(), data: None, workers: None };
    for number in 0..1024 {
        assert_eq!(desk.ask(&number.to_string(), request()), [], "{number}");
    }
    let replies = desk.ask("one too many", request());
    let Some(Body::Answer { errors, .. }) = replies.first().and_then(|reply| reply.body.clone()) else {
        panic!("{replies:?}")
    };
    assert_eq!(errors, ["it has not answered 1024 earlier requests"]);
    assert_eq!(desk.end("one too many"), Some((None, String::new())));
}

#[test]
fn one_that_has_gone_gets_no_answer() {
    let mut desk = Desk::up("");
    let request = Request::SendRequest { request: "ping".into(), data: None, workers: Some("0".into()) };
    desk.ask("r", request.clone());
    desk.hear(Event::Disconnected { conn: ConnId(1) });
    assert_eq!(desk.supervisor.pending(), None);
    let nobody = Request::SendRequest { request: "ping".into(), data: None, workers: Some("7".into()) };
    desk.ask("nobody", nobody);
    assert_eq!(desk.end("nobody"), Some((None, "no worker is `7`".into())));
    let worker = desk.spawned.first().copied();
    let Some(worker) = worker else { panic!("no worker") };
    desk.hear(Event::ChannelClosed { worker });
    let message = Request::SendMessage { message: "m".into(), data: None, workers: None };
    desk.ask("message", message);
    let words = desk.end("message").map(|(_, words)| words).unwrap_or_default();
    assert!(words.ends_with("it has no channel to the daemon"), "{words}");
    desk.ask("unreachable", request);
    assert_eq!(desk.replies("unreachable").len(), 2);
}
