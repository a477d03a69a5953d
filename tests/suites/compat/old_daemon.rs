//! A daemon of 2.x as a command sees it: what it answers, and no more.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

use nodesockd_tests::App;
use serde_json::{Value, json};

/// Answers the requests of one connection on the app's control socket by `answer`, and returns them.
pub fn serve(app: &App, mut answer: impl FnMut(&Value) -> Value + Send + 'static) -> JoinHandle<Vec<Value>> {
    let listener = UnixListener::bind(app.ipc()).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut requests = Vec::new();
        for line in BufReader::new(&stream).lines().map_while(Result::ok) {
            let request: Value = serde_json::from_str(&line).unwrap();
            reply(&stream, &request, &answer(&request));
            requests.push(request);
        }
        requests
    })
}

fn reply(mut stream: &UnixStream, request: &Value, data: &Value) {
    let reply = json!({ "type": "reply", "requestId": request["id"], "data": data, "done": true });
    // A command that has heard enough hangs up.
    let _ = writeln!(stream, "{reply}");
}

/// The status that 2.x answers.
pub fn status(workers: &Value) -> Value {
    json!({ "version": "2.0.0-rc.8", "pid": 1, "startTs": 1_700_000_000_000_u64, "workers": workers })
}
