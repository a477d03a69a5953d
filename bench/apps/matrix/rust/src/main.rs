//! An app on axum that gives every request its number back.

use axum::http::{Method, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

async fn answer(method: Method, uri: Uri, body: String) -> Json<Value> {
    let number = if method == Method::POST { &body } else { &uri.path()[1..] };
    let worker = std::env::var("NODESOCKD_WORKER_ID").unwrap_or_default();
    Json(json!({ "number": number, "worker": worker, "suspended": false }))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let socket = std::env::args().nth(1).expect("the socket to listen on");
    let listener = UnixListener::bind(socket)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let told = async move {
        terminated.recv().await;
    };
    axum::serve(listener, Router::new().fallback(answer)).with_graceful_shutdown(told).await
}
