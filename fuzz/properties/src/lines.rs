//! Lines of the protocol: what comes in, and what goes out.

use std::num::NonZeroU32;
use std::time::Duration;

use arbitrary::Unstructured;
use nodesockd_core::frame::Decoder;
use nodesockd_core::id::{BootId, Ids, SlotIndex, WorkerId};
use nodesockd_core::text::escape;
use nodesockd_core::wire::{
    BatchStatus, Body, Code, DeployNews, DeployOptions, DeployStep, FailedWorker, FailingStandby, Incoming,
    Json, MAX_FRAME, MAX_REQUEST_ID, MigrationOptions, Progress, Rejection, Reply, Request, Sender,
    SlotFailures, Stage, StartOptions, Status, ToWorker, VacantSlot, WorkerState, WorkerStatus, decode,
};
use nodesockd_core::{Time, config};
use serde_json::Value;

use crate::input::Input;

/// A reason for a rejection is for people: so many characters at most.
const LONGEST_REASON: usize = 1000;

/// What a client sends: understood, or rejected in a way that can be told; never more than it may say.
pub fn client_session(bytes: &[u8]) {
    session(bytes, Sender::Client);
}

/// What a worker sends, likewise.
pub fn worker_session(bytes: &[u8]) {
    session(bytes, Sender::Worker);
}

fn session(bytes: &[u8], mut from: Sender) {
    let mut decoder = Decoder::new();
    decoder.feed(bytes);
    while let Some(line) = decoder.next_line() {
        match line.map(|line| decode(line, from)) {
            Ok(Ok(Incoming::Request { id, request })) => understood(&id, &request, from),
            Ok(Ok(Incoming::Introduction { .. })) => {
                assert_eq!(from, Sender::Client, "a channel's worker is known");
                from = Sender::Survivor;
            }
            Ok(Ok(Incoming::Message(_) | Incoming::Foreign)) => {
                assert_ne!(from, Sender::Client, "clients make requests");
            }
            Ok(Err(Rejection::Answer { id, code, error })) => {
                assert!(id.len() <= MAX_REQUEST_ID);
                rejected(&id, code, error);
            }
            Ok(Err(Rejection::Unusable(error))) => rejected("", Code::Usage, error),
            Err(error) => rejected("", Code::Usage, error.to_string()),
        }
    }
}

/// A request can be passed on by somebody else, and is the same then.
fn understood(id: &str, request: &Request, from: Sender) {
    assert!(id.len() <= MAX_REQUEST_ID);
    let relayed = matches!(request, Request::SendMessage { .. } | Request::SendRequest { .. });
    assert!(from != Sender::Worker || relayed, "a worker commands the daemon");
    let line = request.encode(id);
    let again = decode(one_line(&line), from);
    assert_eq!(again, Ok(Incoming::Request { id: id.to_owned(), request: request.clone() }));
}

fn rejected(id: &str, code: Code, error: String) {
    assert!(!error.is_empty(), "rejected for no reason");
    assert_eq!(escape(&error, LONGEST_REASON), error, "not fit to be shown");
    let line = Reply::failed(Some(code), vec![error]).encode(id, |_| 0);
    assert!(line.len() <= MAX_FRAME);
    one_line(&line);
}

/// What we send is one line of JSON that says what we wanted to say.
pub fn round_trip(bytes: &[u8]) {
    let mut input = Input(Unstructured::new(bytes));
    match input.below(3) {
        0 => {
            let (id, request) = (input.text(), request(&mut input));
            let again = decode(one_line(&request.encode(&id)), Sender::Client);
            if id.len() > MAX_REQUEST_ID {
                assert!(matches!(again, Err(Rejection::Unusable(_))));
            } else if names_nobody(&request) {
                assert!(matches!(again, Err(Rejection::Answer { .. })));
            } else {
                assert_eq!(again, Ok(Incoming::Request { id, request }));
            }
        }
        1 => told(&to_worker(&mut input)),
        _ => {
            let id = input.text();
            replied(&id, &reply(&mut input));
        }
    }
}

/// A selector that is empty comes from a script whose variable is not set; nobody is meant to get what it was for.
fn names_nobody(request: &Request) -> bool {
    let (Request::SendMessage { workers, .. } | Request::SendRequest { workers, .. }) = request else {
        return false;
    };
    workers.as_deref() == Some("")
}

fn told(message: &ToWorker) {
    let line = message.encode();
    let value: Value = serde_json::from_str(one_line(&line)).unwrap_or_default();
    match message {
        ToWorker::Resume { fd } => {
            assert_eq!(value["type"], "resume");
            assert_eq!(value["data"]["fd"].as_u64(), fd.map(u64::from));
        }
        ToWorker::Detach { ipc_path } => {
            let told = (&value["type"], &value["data"]["ipcPath"]);
            assert_eq!(told, (&"detach".into(), &ipc_path.as_str().into()));
        }
        ToWorker::Shutdown => assert_eq!(value["type"], "shutdown"),
        ToWorker::Ping { seq } => {
            assert_eq!((&value["type"], value["data"]["seq"].as_u64()), (&"ping".into(), Some(*seq)));
        }
        ToWorker::Slot { slot } => {
            assert_eq!(
                (&value["type"], value["data"]["slot"].as_u64()),
                (&"slot".into(), Some(u64::from(*slot)))
            );
        }
        ToWorker::Leader { leads, term } => {
            assert_eq!(value["type"], "leader");
            assert_eq!(
                (value["data"]["leader"].as_bool(), value["data"]["term"].as_u64()),
                (Some(*leads), Some(*term))
            );
        }
        ToWorker::Count { on } => {
            assert_eq!((&value["type"], &value["data"]["on"]), (&"count".into(), &(*on).into()));
        }
        ToWorker::NodeHandleAck => assert_eq!(value["cmd"], "NODE_HANDLE_ACK"),
        ToWorker::SetName { name } => {
            assert_eq!((&value["type"], &value["data"]["name"]), (&"set-name".into(), &name.as_str().into()));
        }
        ToWorker::AppMessage { message, data } => {
            assert_eq!(value["type"], "app-msg");
            assert_eq!(value["data"]["message"], message.as_str());
            same_data(&line, &value["data"]["data"], data.as_ref());
        }
        ToWorker::AppRequest { id, request, data } => {
            assert_eq!((&value["type"], &value["id"]), (&"app-req".into(), &id.as_str().into()));
            assert_eq!(value["data"]["request"], request.as_str());
            same_data(&line, &value["data"]["data"], data.as_ref());
        }
    }
}

fn replied(id: &str, reply: &Reply) {
    let line = reply.encode(id, |time| time.as_nanos() / 1_000_000);
    let value: Value = serde_json::from_str(one_line(&line)).unwrap_or_default();
    assert_eq!((&value["type"], &value["requestId"]), (&"reply".into(), &id.into()));
    assert_eq!(value.get("done").is_some(), reply.done);
    assert_eq!(value.get("code").cloned(), reply.code.map(|code| serde_json::json!(code)));
    let errors: Vec<&str> =
        value["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(errors, reply.errors);
    let data = &value["data"];
    match &reply.body {
        None => assert!(data.is_null()),
        Some(Body::Status(status)) => {
            assert_eq!(data["workers"].as_array().map(Vec::len), Some(status.workers.len()))
        }
        Some(Body::Metrics(metrics)) => {
            assert_eq!(serde_json::from_value(data.clone()).ok().as_ref(), Some(&**metrics));
        }
        Some(Body::Config(json)) => same_data(&line, data, Some(json)),
        Some(Body::Daemon { pid, upgrading, upgraded_from }) => {
            assert_eq!(data["pid"], *pid);
            assert_eq!(data.get("upgrading").is_some(), *upgrading);
            assert_eq!(data["upgradedFrom"].as_str(), upgraded_from.as_deref());
        }
        Some(Body::Resumed { pid, unconfirmed }) => {
            assert_eq!(data["pid"], *pid);
            let count = data["unconfirmed"].as_array().map_or(0, Vec::len);
            assert_eq!(count, unconfirmed.len());
        }
        Some(Body::Progress(progress)) => {
            assert_eq!(serde_json::from_value(data["progress"].clone()).ok().as_ref(), Some(progress));
        }
        Some(Body::Answer { id, pid, data: answer, .. }) => {
            assert_eq!((&data["id"], &data["pid"]), (&id.to_string().into(), &(*pid).into()));
            same_data(&line, &data["data"], answer.as_ref());
        }
        Some(Body::Deploy(news)) => {
            assert_eq!(serde_json::from_value(data["deploy"].clone()).ok().as_ref(), Some(news));
        }
        Some(Body::Batch(batch)) => {
            assert_eq!(serde_json::from_value(data["batch"].clone()).ok().as_ref(), Some(batch));
        }
        Some(Body::Failed(workers)) => {
            assert_eq!(serde_json::from_value(data["failed"].clone()).ok().as_ref(), Some(workers));
        }
        Some(Body::Watching { seq }) => assert_eq!(data["watching"]["seq"], *seq),
        Some(Body::Occurred { seq, occurrence }) => {
            let event = &data["event"];
            assert_eq!((&event["seq"], &event["what"]), (&(*seq).into(), &occurrence.name().into()));
        }
    }
}

/// Data is passed on byte for byte.
fn same_data(line: &str, found: &Value, sent: Option<&Json>) {
    let Some(sent) = sent else { return assert!(found.is_null()) };
    assert!(line.contains(sent.get()));
    assert_eq!(Some(found), serde_json::from_str(sent.get()).ok().as_ref());
}

/// The line without its end; that it is one, and JSON, is checked.
fn one_line(line: &str) -> &str {
    let content = line.strip_suffix('\n').unwrap_or_default();
    assert!(!content.contains('\n'), "not one line: {line:?}");
    assert!(Json::parse(content).is_ok(), "not JSON: {content}");
    content
}

fn request(input: &mut Input<'_>) -> Request {
    match input.below(15) {
        0 if input.flag() => Request::Metrics,
        0 => Request::Status,
        1 => Request::Config,
        2 => Request::Start(options(input)),
        3 => Request::Restart { options: options(input), version: input.maybe_text() },
        4 => Request::Resume,
        5 => Request::Stop,
        6 => Request::SetWorkers { count: NonZeroU32::new(input.number()).unwrap_or(NonZeroU32::MIN) },
        7 => Request::SetStandby { count: input.number() },
        8 => Request::Reload,
        9 => Request::Terminate,
        10 => Request::SendMessage { message: input.text(), data: data(input), workers: input.maybe_text() },
        11 => Request::AttachDeploy { progress: input.below(2) == 1 },
        12 => Request::Deploy(DeployOptions {
            release: input.maybe_text().map(|text| format!("/{}", text.replace('\0', "")).into()),
            watch: Duration::from_millis(1 + u64::from(input.number()) % 86_400_000),
            health: input.flag().then(|| "/health".to_owned()),
            migration: input.flag().then(|| MigrationOptions {
                command: format!("migrate {}", input.text().replace('\0', "")),
                revert: input.flag().then(|| "revert".to_owned()),
                limit: input.flag().then(|| Duration::from_millis(u64::from(input.number()))),
            }),
            max_attempts: NonZeroU32::new(input.number()),
            progress: input.below(2) == 1,
            batch: input.flag().then(|| input.number()),
        }),
        13 => Request::WatchEvents,
        _ => Request::SendRequest { request: input.text(), data: data(input), workers: input.maybe_text() },
    }
}

/// Data of a message: `null` is none.
fn data(input: &mut Input<'_>) -> Option<Json> {
    input.json().filter(|json| json.get().trim() != "null")
}

pub(crate) fn options(input: &mut Input<'_>) -> StartOptions {
    let suspended = input.flag();
    StartOptions {
        suspended,
        max_attempts: NonZeroU32::new(u32::from(input.byte() % 4)),
        progress: input.flag(),
        wait: input.flag(),
        until_swap: !suspended && input.flag(),
        expiry: None,
        batch: input.flag().then(|| u32::from(input.byte() % 4)),
    }
}

fn to_worker(input: &mut Input<'_>) -> ToWorker {
    match input.below(6) {
        0 => ToWorker::Resume { fd: input.flag().then(|| input.number()) },
        1 => ToWorker::SetName { name: input.text() },
        2 if input.flag() => ToWorker::Detach { ipc_path: input.text() },
        2 => ToWorker::Shutdown,
        3 => ToWorker::AppMessage { message: input.text(), data: input.json() },
        4 => ToWorker::AppRequest { id: input.text(), request: input.text(), data: input.json() },
        _ => ToWorker::NodeHandleAck,
    }
}

fn reply(input: &mut Input<'_>) -> Reply {
    let codes = [
        Code::Usage,
        Code::Busy,
        Code::StartFailed,
        Code::RolledBack,
        Code::NotRolledBack,
        Code::TimeOut,
        Code::NotPermitted,
    ];
    let errors = input.texts();
    Reply {
        body: input.flag().then(|| body(input)),
        code: if input.flag() { input.one(&codes) } else { None },
        done: !errors.is_empty() || input.flag(),
        errors,
    }
}

fn body(input: &mut Input<'_>) -> Body {
    match input.below(7) {
        0 => Body::Status(Box::new(status(input))),
        1 => Body::Config(Json::of(&config::schema())),
        2 if input.flag() => {
            Body::Resumed { pid: input.number(), unconfirmed: vec![worker(input); input.below(3)] }
        }
        2 => Body::Daemon { pid: input.number(), upgrading: input.flag(), upgraded_from: input.maybe_text() },
        3 => {
            let stages = [Stage::Starting, Stage::Serving, Stage::Failed, Stage::Gone];
            Body::Progress(Progress {
                id: worker(input),
                idx: slot(input),
                pid: input.flag().then(|| input.number()),
                stage: input.one(&stages).unwrap_or(Stage::Online),
                reason: input.maybe_text(),
            })
        }
        4 => Body::Deploy(DeployNews {
            step: DeployStep::RollingBack,
            release: input.maybe_text(),
            watch: input.flag().then(|| u64::from(input.number())),
            alone: input.flag(),
            reason: input.maybe_text(),
            command: input.maybe_text(),
            line: input.maybe_text(),
        }),
        5 => {
            Body::Answer { id: worker(input), pid: input.number(), data: input.json(), errors: input.texts() }
        }
        _ => {
            let failed = |input: &mut Input<'_>| FailedWorker {
                id: worker(input),
                idx: slot(input),
                reason: input.text(),
                stderr: input.maybe_text(),
                lines: (0..input.below(3)).map(|_| input.text()).collect(),
            };
            Body::Failed((0..input.below(3)).map(|_| failed(input)).collect())
        }
    }
}

fn status(input: &mut Input<'_>) -> Status {
    let states = [WorkerState::Running, WorkerState::Suspended, WorkerState::Broken, WorkerState::Dead];
    let row = |input: &mut Input<'_>| WorkerStatus {
        id: worker(input),
        slot: slot(input),
        pid: input.flag().then(|| input.number()),
        state: input.one(&states).unwrap_or(WorkerState::Online),
        since: time(input),
        standby: input.flag(),
        kept: input.flag(),
        leader: input.flag(),
        generation: input.flag().then(|| input.number()),
        reason: input.maybe_text(),
    };
    let vacant = |input: &mut Input<'_>| VacantSlot {
        slot: SlotIndex(input.number()),
        failures: input.number(),
        retry: input.flag().then(|| time(input)),
        reason: input.maybe_text(),
        served_by: input.flag().then(|| worker(input)),
    };
    let spare = |input: &mut Input<'_>| (SlotIndex(input.number()), input.flag().then(|| worker(input)));
    let standby = |input: &mut Input<'_>| FailingStandby {
        missing: input.number(),
        failures: input.number(),
        retry: input.flag().then(|| time(input)),
        reason: input.text(),
    };
    let failures = |input: &mut Input<'_>| SlotFailures {
        slot: SlotIndex(input.number()),
        count: input.number().into(),
        last: time(input),
        reason: input.text(),
    };
    Status {
        version: input.text(),
        pid: input.number(),
        name: input.text(),
        started: time(input),
        workers: (0..input.below(4)).map(|_| row(input)).collect(),
        vacant: (0..input.below(3)).map(|_| vacant(input)).collect(),
        generation: input.number(),
        release: input.maybe_text(),
        spare: (0..input.below(3)).map(|_| spare(input)).collect(),
        failing_standby: input.flag().then(|| standby(input)),
        failures: (0..input.below(3)).map(|_| failures(input)).collect(),
        suspended: input.flag(),
        suspension: None,
        operation: input.maybe_text(),
        batch: input.flag().then(|| BatchStatus {
            number: input.number(),
            of: input.number(),
            back: input.flag(),
        }),
        note: input.maybe_text(),
    }
}

fn worker(input: &mut Input<'_>) -> WorkerId {
    Ids::new(BootId(input.number().into())).worker()
}

fn slot(input: &mut Input<'_>) -> Option<SlotIndex> {
    input.flag().then(|| SlotIndex(input.number()))
}

fn time(input: &mut Input<'_>) -> Time {
    Time::from_nanos(u64::from(input.number()) << 20)
}
