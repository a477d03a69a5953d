//! What a client is answered while no worker can.

use std::path::Path;

use nodesockd_core::page::html::html;
use nodesockd_core::page::text::text;
use nodesockd_core::page::{LINES, Page};

use super::accept::Form;
use crate::clock;
use crate::http::{Answer, Request};
use crate::tail::last_lines;

/// What is answered, in the form that the client wants.
pub(super) fn answer(page: &Page, request: &Request) -> String {
    let now = clock::now();
    let fields = format!(
        "Retry-After: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nNodesockd-Page: {}\r\n",
        page.retry_after(now),
        page.name()
    );
    let page = with_end_of_file(page.clone());
    let (kind, body) = match Form::wanted(&request.accept) {
        Form::Html => {
            let reloads = matches!(request.method.as_str(), "GET" | "HEAD");
            ("text/html; charset=utf-8", html(&page, now, reloads))
        }
        Form::Text => ("text/plain; charset=utf-8", text(&page, now)),
        Form::Json => ("application/json", page.json(clock::wall_ms)),
    };
    Answer { status: "503 Service Unavailable", fields: &fields, kind, body: &body }.sent(request.is_head())
}

/// With what stands at the end of the file that workers write to, if they do.
fn with_end_of_file(mut page: Page) -> Page {
    if let Some(worker) = &mut page.worker
        && let Some(file) = &worker.stderr
    {
        worker.lines = last_lines(Path::new(file), LINES).unwrap_or_default();
    }
    page
}
