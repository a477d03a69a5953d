//! From a line of JSON to what it asks for.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::config::is_request_path;
use crate::expiry::{Ending, Expiry, LONGEST_EXPIRY};
use crate::id::WorkerId;
use crate::metrics::{Level, Traffic};

use super::{
    Claim, Code, DEFAULT_WATCH, DeployOptions, FromWorker, Json, LONGEST_WATCH, MAX_REQUEST_ID,
    MigrationOptions, Request, StartOptions,
};

/// Which side of the daemon a line came from; it limits what the line may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client on the IPC socket.
    Client,
    /// A worker on its channel.
    Worker,
    /// A worker that outlived its daemon, on the IPC socket, after it has said [who it is](Incoming::Introduction).
    Survivor,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A request, with the id to answer it by.
    Request {
        /// The id.
        id: String,
        /// The request.
        request: Request,
    },
    /// A message from a worker.
    Message(FromWorker),
    /// The first message from a worker on the IPC socket, which says who sends it.
    Introduction {
        /// Who it says it is.
        claim: Claim,
        /// The message.
        message: FromWorker,
    },
    /// Something that is none of ours: on Node's channel an application may say what it likes.
    Foreign,
}

/// Why a line was not taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Rejection {
    /// The sender can be told.
    Answer {
        /// The request's id.
        id: String,
        /// What kind of failure it is.
        code: Code,
        /// Why.
        error: String,
    },
    /// There is nobody to tell: the line is not one of the protocol's.
    Unusable(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    r#type: Option<String>,
    id: Option<String>,
    request_id: Option<String>,
    cmd: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    errors: Option<Vec<String>>,
    done: Option<bool>,
}

/// Reads one line.
///
/// # Errors
///
/// A [`Rejection`]; nothing a line can hold is a reason to panic or to forget another line.
pub fn decode(line: &str, from: Sender) -> Result<Incoming, Rejection> {
    let frame: Frame<'_> = match object(line) {
        Ok(frame) => frame,
        Err(_) if from == Sender::Worker && serde_json::from_str::<&RawValue>(line).is_ok() => {
            return Ok(Incoming::Foreign);
        }
        Err(error) => return Err(Rejection::Unusable(format!("not a message: {}", reason(&error)))),
    };
    match (from, frame.r#type.as_deref(), frame.id.as_deref()) {
        (Sender::Worker, None, _) if frame.cmd.as_deref() == Some("NODE_HANDLE") => {
            Ok(Incoming::Message(FromWorker::NodeHandle))
        }
        (Sender::Worker, None, _) => Ok(Incoming::Foreign),
        (Sender::Worker | Sender::Survivor, Some(kind), None) => message(kind, &frame),
        (Sender::Client, Some(kind @ ("online" | "broken")), None) => introduction(kind, &frame),
        (Sender::Client | Sender::Survivor, None, _) => {
            Err(Rejection::Unusable("a message without a `type`".into()))
        }
        (Sender::Client, Some(kind), None) => {
            Err(Rejection::Unusable(format!("`{}` without an `id`", shown(kind))))
        }
        (_, Some(kind), Some(id)) if id.len() <= MAX_REQUEST_ID => request(kind, &frame, from)
            .map(|request| Incoming::Request { id: id.to_owned(), request })
            .map_err(|(code, error)| Rejection::Answer { id: id.to_owned(), code, error }),
        (_, Some(_), Some(_)) => {
            Err(Rejection::Unusable(format!("a request id of more than {MAX_REQUEST_ID} bytes")))
        }
    }
}

fn introduction(kind: &str, frame: &Frame<'_>) -> Result<Incoming, Rejection> {
    #[derive(Deserialize)]
    struct Introduced {
        id: WorkerId,
        pid: Option<u32>,
    }
    let Introduced { id: worker, pid } =
        required(kind, frame).map_err(|(_, error)| Rejection::Unusable(error))?;
    let said = message(kind, frame)?;
    if let Incoming::Message(message) = said {
        Ok(Incoming::Introduction { claim: Claim { worker, pid }, message })
    } else {
        Ok(said)
    }
}

fn message(kind: &str, frame: &Frame<'_>) -> Result<Incoming, Rejection> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Online {
        pid: Option<serde_json::Value>,
        suspended: Option<bool>,
        heartbeat: Option<bool>,
        leader: Option<bool>,
        counts: Option<bool>,
    }
    #[derive(Deserialize)]
    struct Counted {
        #[serde(flatten)]
        traffic: Traffic,
        #[serde(flatten)]
        level: Level,
    }
    #[derive(Deserialize)]
    struct Pong {
        seq: u64,
        #[serde(default)]
        inspected: Option<bool>,
        #[serde(default)]
        held: Option<u32>,
    }
    #[derive(Deserialize)]
    struct Leader {
        leader: bool,
        term: u64,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Broken {
        reason: Option<String>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Answer {
        data: Option<Json>,
    }
    let unusable = |(_, error)| Rejection::Unusable(error);
    let message = match kind {
        "online" => {
            let Online { pid, suspended, heartbeat, leader, counts } = data(kind, frame).map_err(unusable)?;
            FromWorker::Online {
                pid: pid.and_then(|pid| pid.as_u64()?.try_into().ok()),
                suspended: suspended.unwrap_or(false),
                heartbeat: heartbeat.unwrap_or(false),
                leads: leader,
                counts,
            }
        }
        "broken" => {
            let Broken { reason } = data(kind, frame).map_err(unusable)?;
            FromWorker::Broken { reason }
        }
        "pong" => {
            let Pong { seq, inspected, held } = required(kind, frame).map_err(unusable)?;
            FromWorker::Pong { seq, inspected: inspected.unwrap_or(false), held: held.unwrap_or(0) }
        }
        "counted" => {
            let Counted { traffic, level } = required(kind, frame).map_err(unusable)?;
            if !traffic.is_well_formed() {
                return Err(Rejection::Unusable("a `counted` with too many classes or buckets".into()));
            }
            FromWorker::Counted { traffic: Box::new(traffic), level }
        }
        "leader" => {
            let Leader { leader: leads, term } = required(kind, frame).map_err(unusable)?;
            FromWorker::Leader { leads, term }
        }
        "reply" => {
            let Some(request) = frame.request_id.clone() else {
                return Err(Rejection::Unusable("a `reply` without a `requestId`".into()));
            };
            let errors = frame.errors.clone().unwrap_or_default();
            let Answer { data } = data(kind, frame).map_err(unusable)?;
            let done = frame.done.unwrap_or(false) || !errors.is_empty();
            let answers = !done || !errors.is_empty() || has_data(frame);
            FromWorker::Reply { request, answers, data, errors, done }
        }
        _ => return Ok(Incoming::Foreign),
    };
    Ok(Incoming::Message(message))
}

fn request(kind: &str, frame: &Frame<'_>, from: Sender) -> Result<Request, (Code, String)> {
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Start {
        suspended: Option<bool>,
        max_attempts: Option<NonZeroU32>,
        version: Option<String>,
        progress: Option<bool>,
        wait: Option<bool>,
        until_swap: Option<bool>,
        r#for: Option<u64>,
        then: Option<Ending>,
        batch: Option<u32>,
    }
    impl Start {
        fn options(&self) -> StartOptions {
            StartOptions {
                suspended: self.suspended.unwrap_or(false),
                max_attempts: self.max_attempts,
                progress: self.progress.unwrap_or(false),
                wait: self.wait.unwrap_or(false),
                until_swap: self.until_swap.unwrap_or(false),
                expiry: None,
                batch: self.batch,
            }
        }

        /// Those of a restart.
        fn restart_options(&self) -> Result<StartOptions, (Code, String)> {
            let refuse = |words: &str| Err((Code::Usage, words.to_owned()));
            let options = self.options();
            if options.suspended && options.until_swap {
                return refuse(
                    "`untilSwap` does not go with `suspended`: a migration may run only when no active worker is left",
                );
            }
            let expiry = match (self.r#for, self.then) {
                (None, None) => None,
                (Some(_), _) | (_, Some(_)) if !options.suspended => {
                    return refuse("`for` and `then` are about `suspended`, which is missing");
                }
                (Some(after), Some(then)) => Some(Expiry { after: Duration::from_millis(after), then }),
                (Some(_), None) | (None, Some(_)) => {
                    return refuse(
                        "`for` and `then` belong together: how long the suspension may last, and what ends it",
                    );
                }
            };
            if expiry.is_some_and(|expiry| expiry.after > LONGEST_EXPIRY) {
                let most = LONGEST_EXPIRY.as_millis();
                return refuse(&format!("`for` is longer than 30 days, which are {most} ms"));
            }
            Ok(StartOptions { expiry, ..options })
        }
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Attach {
        progress: Option<bool>,
    }
    #[derive(Deserialize)]
    struct Count<T> {
        count: T,
    }
    #[derive(Deserialize)]
    struct AppMessage {
        message: String,
        data: Option<Json>,
        workers: Option<String>,
    }
    #[derive(Deserialize)]
    struct AppRequest {
        request: String,
        data: Option<Json>,
        workers: Option<String>,
    }
    let request = match kind {
        "send-app-msg" => {
            let AppMessage { message, data, workers } = required(kind, frame)?;
            Request::SendMessage { message, data, workers: named(workers)? }
        }
        "send-app-req" => {
            let AppRequest { request, data, workers } = required(kind, frame)?;
            Request::SendRequest { request, data, workers: named(workers)? }
        }
        "status" => Request::Status,
        "metrics" => Request::Metrics,
        "config" => Request::Config,
        "start-workers" => Request::Start(data::<Start>(kind, frame)?.options()),
        "restart-workers" => {
            let start: Start = data(kind, frame)?;
            Request::Restart { options: start.restart_options()?, version: start.version }
        }
        "deploy" => Request::Deploy(deploy(data(kind, frame)?)?),
        "attach-deploy" => {
            let Attach { progress } = data(kind, frame)?;
            Request::AttachDeploy { progress: progress.unwrap_or(false) }
        }
        "watch-events" => Request::WatchEvents,
        "resume-workers" => Request::Resume,
        "stop-workers" => Request::Stop,
        "set-worker-count" => {
            let Count { count } = required(kind, frame)?;
            let none =
                || (Code::Usage, "an app has at least 1 worker; `stop-workers` ends all of them".to_owned());
            Request::SetWorkers { count: NonZeroU32::new(count).ok_or_else(none)? }
        }
        "set-standby-count" => {
            let Count { count } = required(kind, frame)?;
            Request::SetStandby { count }
        }
        "reload" => Request::Reload,
        "terminate" => Request::Terminate,
        _ => {
            return Err((Code::Usage, format!("unknown request type `{}`", shown(kind))));
        }
    };
    match (from, &request) {
        (Sender::Client | Sender::Survivor, _)
        | (Sender::Worker, Request::SendMessage { .. } | Request::SendRequest { .. }) => Ok(request),
        (Sender::Worker, _) => Err((
            Code::NotPermitted,
            format!("a worker may not ask for `{kind}` on its channel; use the IPC socket"),
        )),
    }
}

/// `data` of `deploy`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Deploy {
    release: Option<String>,
    watch: Option<u64>,
    health: Option<String>,
    migrate: Option<String>,
    revert: Option<String>,
    migrate_timeout: Option<u64>,
    max_attempts: Option<NonZeroU32>,
    progress: Option<bool>,
    batch: Option<u32>,
}

fn deploy(asked: Deploy) -> Result<DeployOptions, (Code, String)> {
    let Deploy { release, watch, health, migrate, revert, migrate_timeout, max_attempts, progress, batch } =
        asked;
    if let Some(release) = release.as_deref().filter(|path| !path.starts_with('/') || path.contains('\0')) {
        return Err((Code::Usage, format!("`release` is no absolute path: `{}`", shown(release))));
    }
    for (name, command) in [("migrate", &migrate), ("revert", &revert)] {
        if command.as_deref().is_some_and(|command| command.trim().is_empty() || command.contains('\0')) {
            return Err((Code::Usage, format!("`{name}` is no command")));
        }
    }
    if migrate.is_none() && (revert.is_some() || migrate_timeout.is_some()) {
        return Err((
            Code::Usage,
            "`revert` and `migrateTimeout` are about `migrate`, which is missing".into(),
        ));
    }
    let limit = migrate_timeout.map(Duration::from_millis);
    let migration = migrate.map(|command| MigrationOptions { command, revert, limit });
    // The old workers are gone: whoever wants the new ones to be watched nevertheless says so.
    let default = if migration.is_some() { Duration::ZERO } else { DEFAULT_WATCH };
    let watch = watch.map_or(default, Duration::from_millis);
    if watch > LONGEST_WATCH {
        let most = LONGEST_WATCH.as_millis();
        return Err((Code::Usage, format!("`watch` is longer than a day, which is {most} ms")));
    }
    if let Some(path) = health.as_deref().filter(|path| !is_request_path(path)) {
        return Err((Code::Usage, format!("`health` is no path of a request: `{}`", shown(path))));
    }
    if health.is_some() && watch.is_zero() {
        return Err((
            Code::Usage,
            "`health` is asked for while a deploy is watched, and `watch` is 0".into(),
        ));
    }
    let release = release.map(PathBuf::from);
    let progress = progress.unwrap_or(false);
    Ok(DeployOptions { release, watch, health, migration, max_attempts, progress, batch })
}

/// `data` of a frame that may do without it.
fn data<T: DeserializeOwned + Default>(kind: &str, frame: &Frame<'_>) -> Result<T, (Code, String)> {
    if has_data(frame) { required(kind, frame) } else { Ok(T::default()) }
}

fn has_data(frame: &Frame<'_>) -> bool {
    frame.data.is_some_and(|data| data.get() != "null")
}

/// A selector, or none. An empty one is a variable that is not set, in a script: it must not mean every worker.
fn named(workers: Option<String>) -> Result<Option<String>, (Code, String)> {
    match workers.as_deref() {
        Some("") => Err((
            Code::Usage,
            "`workers` is empty: say which workers, or leave it out to mean all in slots".into(),
        )),
        _ => Ok(workers),
    }
}

/// `data` of a frame that must have it.
fn required<T: DeserializeOwned>(kind: &str, frame: &Frame<'_>) -> Result<T, (Code, String)> {
    let text = frame.data.map_or("null", RawValue::get);
    object(text)
        .map_err(|error| (Code::Usage, format!("bad `data` of `{}`: {}", shown(kind), reason(&error))))
}

/// Reads an object. A list of its fields' values, in order, is none: serde would take it for one.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
    } else {
        Err(serde::de::Error::custom("expected an object"))
    }
}

/// Why JSON is not what it should be: it quotes what it found, which may be as long as the line.
fn reason(error: &serde_json::Error) -> String {
    crate::text::escape(&error.to_string(), 300)
}

/// A name from outside, short and without control characters.
fn shown(text: &str) -> String {
    crate::text::escape(text, 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_no_object() {
        let frame = r#"["status", "1", null, null, null, null, null]"#;
        assert!(matches!(decode(frame, Sender::Client), Err(Rejection::Unusable(_))));
        assert_eq!(decode(frame, Sender::Worker), Ok(Incoming::Foreign));
        let data = r#"{"type": "restart-workers", "id": "1", "data": [true, 1, null, true, true]}"#;
        assert!(matches!(decode(data, Sender::Client), Err(Rejection::Answer { code: Code::Usage, .. })));
    }

    #[test]
    fn a_worker_says_what_it_has_to_say_in_few_words() {
        let said = |line: &str| decode(line, Sender::Worker);
        let message = |message| Ok(Incoming::Message(message));
        let online = |suspended| {
            message(FromWorker::Online { pid: None, suspended, heartbeat: false, leads: None, counts: None })
        };
        assert_eq!(said(r#"{"type":"online"}"#), online(false));
        assert_eq!(said(r#"{"type":"online","data":null}"#), online(false));
        assert_eq!(said(r#"{"type":"online","data":{"suspended":true}}"#), online(true));
        let beats =
            FromWorker::Online { pid: None, suspended: false, heartbeat: true, leads: None, counts: None };
        assert_eq!(said(r#"{"type":"online","data":{"heartbeat":true}}"#), message(beats));
        let follows = FromWorker::Online {
            pid: None,
            suspended: false,
            heartbeat: false,
            leads: Some(false),
            counts: None,
        };
        assert_eq!(said(r#"{"type":"online","data":{"leader":false}}"#), message(follows));
        let leads = FromWorker::Leader { leads: true, term: 7 };
        assert_eq!(said(r#"{"type":"leader","data":{"leader":true,"term":7}}"#), message(leads));
        assert!(matches!(said(r#"{"type":"leader","data":{"leader":true}}"#), Err(Rejection::Unusable(_))));
        let pong = |inspected| message(FromWorker::Pong { seq: 3, inspected, held: 0 });
        assert_eq!(said(r#"{"type":"pong","data":{"seq":3}}"#), pong(false));
        assert_eq!(said(r#"{"type":"pong","data":{"seq":3,"inspected":true}}"#), pong(true));
        assert!(matches!(said(r#"{"type":"pong"}"#), Err(Rejection::Unusable(_))));
        let counted = said(r#"{"type":"counted","data":{"requests":[0,2],"inFlight":1}}"#);
        let traffic = Traffic { requests: vec![0, 2], ..Traffic::default() };
        let level = Level { in_flight: 1, ..Level::default() };
        assert_eq!(counted, message(FromWorker::Counted { traffic: Box::new(traffic), level }));
        let too_many = r#"{"type":"counted","data":{"requests":[0,0,0,0,0,0,0]}}"#;
        assert!(matches!(said(too_many), Err(Rejection::Unusable(_))));
        let reason = Some("no memory".to_owned());
        assert_eq!(
            said(r#"{"type":"broken","data":{"reason":"no memory"}}"#),
            message(FromWorker::Broken { reason })
        );
        assert_eq!(said(r#"{"cmd":"NODE_HANDLE","type":null}"#), message(FromWorker::NodeHandle));
        for foreign in [r#"{"cmd":"NODE_INTERNAL"}"#, r#"{"type":"mine"}"#, "42"] {
            assert_eq!(said(foreign), Ok(Incoming::Foreign), "{foreign}");
        }
    }

    #[test]
    fn an_answer_is_told_from_the_end_of_answers() {
        let said = |rest: &str| match decode(
            &format!(r#"{{"type":"reply","requestId":"1"{rest}}}"#),
            Sender::Worker,
        ) {
            Ok(Incoming::Message(FromWorker::Reply { answers, data, errors, done, .. })) => {
                (answers, data.map(|data| data.get().to_owned()), errors.len(), done)
            }
            other => panic!("{other:?}"),
        };
        let data = Some("7".to_owned());
        assert_eq!(said(r#","data":{"data":7}"#), (true, data.clone(), 0, false));
        assert_eq!(said(r#","data":{"data":7},"done":true"#), (true, data, 0, true));
        assert_eq!(said(""), (true, None, 0, false));
        assert_eq!(said(r#","done":true"#), (false, None, 0, true));
        assert_eq!(said(r#","errors":["no"]"#), (true, None, 1, true));
    }

    #[test]
    fn what_is_wrong_with_a_request_is_answered_by_its_id() {
        let refused = |line: &str| match decode(line, Sender::Client) {
            Err(Rejection::Answer { id, code: Code::Usage, error }) => (id, error),
            other => panic!("{other:?}"),
        };
        let (id, error) = refused(r#"{"type":"set-worker-count","id":"a","data":{"count":0}}"#);
        assert_eq!(id, "a");
        assert_eq!(error, "an app has at least 1 worker; `stop-workers` ends all of them");
        let (_, error) = refused(r#"{"type":"set-worker-count","id":"a","data":{"count":-1}}"#);
        assert!(error.starts_with("bad `data` of `set-worker-count`: "), "{error}");
        for request in
            [r#""send-app-msg","data":{"message":"m","#, r#""send-app-req","data":{"request":"r","#]
        {
            let (_, error) = refused(&format!(r#"{{"id":"a","type":{request}"workers":""}}}}"#));
            assert!(error.starts_with("`workers` is empty"), "{error}");
        }
        let (_, error) = refused(r#"{"type":"deploy","id":"a","data":{"release":"releases/2"}}"#);
        assert_eq!(error, "`release` is no absolute path: `releases/2`");
        let (_, error) = refused(r#"{"type":"deploy","id":"a","data":{"watch":86400001}}"#);
        assert!(error.starts_with("`watch` is longer than a day"), "{error}");
        let (_, error) = refused(r#"{"type":"deploy","id":"a","data":{"revert":"undo"}}"#);
        assert!(error.contains("`migrate`, which is missing"), "{error}");
        let (_, error) = refused(r#"{"type":"deploy","id":"a","data":{"migrate":" "}}"#);
        assert_eq!(error, "`migrate` is no command");
        let unknown = ("b".to_owned(), "unknown request type `dance\\n`".to_owned());
        assert_eq!(refused(r#"{"type":"dance\n","id":"b"}"#), unknown);

        let status =
            |id: usize| decode(&format!(r#"{{"type":"status","id":"{}"}}"#, "x".repeat(id)), Sender::Client);
        assert!(status(MAX_REQUEST_ID).is_ok());
        let too_long = "a request id of more than 128 bytes".to_owned();
        assert_eq!(status(MAX_REQUEST_ID + 1), Err(Rejection::Unusable(too_long)));
    }

    #[test]
    fn a_suspension_may_last_thirty_days_and_no_longer() {
        let asked = |after: u64| {
            let data = format!(r#"{{"suspended":true,"for":{after},"then":"resume"}}"#);
            let frame = format!(r#"{{"type":"restart-workers","id":"1","data":{data}}}"#);
            decode(&frame, Sender::Client).is_ok()
        };
        assert_eq!((asked(2_592_000_000), asked(2_592_000_001)), (true, false));
    }

    #[test]
    fn a_deploy_is_watched_for_a_day_at_most() {
        let asked = |watch: u64| {
            let frame = format!(r#"{{"type":"deploy","id":"1","data":{{"watch":{watch}}}}}"#);
            decode(&frame, Sender::Client).is_ok()
        };
        assert_eq!((asked(86_400_000), asked(86_400_001)), (true, false));
    }

    #[test]
    fn the_end_of_a_suspension_is_asked_for_as_a_whole() {
        let refused = |data: &str| {
            let frame = format!(r#"{{"type":"restart-workers","id":"1","data":{data}}}"#);
            match decode(&frame, Sender::Client) {
                Err(Rejection::Answer { error, .. }) => error,
                _ => String::new(),
            }
        };
        let alone = "`for` and `then` are about `suspended`, which is missing";
        for data in [r#"{"for":1000,"then":"resume"}"#, r#"{"for":1000}"#, r#"{"then":"resume"}"#] {
            assert_eq!(refused(data), alone, "{data}");
        }
        for data in [r#"{"suspended":true,"for":1000}"#, r#"{"suspended":true,"then":"resume"}"#] {
            assert!(refused(data).starts_with("`for` and `then` belong together"), "{data}");
        }
    }

    #[test]
    fn what_is_wrong_with_data_is_said() {
        let frame = r#"{"type":"set-worker-count","id":"1","data":{"count":"two"}}"#;
        let Err(Rejection::Answer { error, .. }) = decode(frame, Sender::Client) else { panic!() };
        assert!(error.contains("invalid type: string \"two\""), "{error}");
    }

    #[test]
    fn an_answer_does_not_repeat_all_it_is_about() {
        let long = "x".repeat(1 << 19);
        let data = format!(r#"{{"type": "set-worker-count", "id": "1", "data": {{"count": "{long}"}}}}"#);
        let Err(Rejection::Answer { error, .. }) = decode(&data, Sender::Client) else { panic!() };
        assert!(error.len() < 1000, "{} bytes", error.len());
        let frame = format!(r#"{{"type": "status", "id": "1", "done": "{long}"}}"#);
        let Err(Rejection::Unusable(error)) = decode(&frame, Sender::Client) else { panic!() };
        assert!(error.len() < 1000, "{} bytes", error.len());
    }
}
