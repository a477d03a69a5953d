//! A real Prometheus, in a folder of its own, and what is served to it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Port};
use crate::wait;

/// The numbers of one scrape: the value of each series, by its name and labels as they are written.
#[derive(Debug, Clone, Default)]
pub struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    /// What is served on that port of this machine.
    ///
    /// # Errors
    ///
    /// Why there is nothing.
    pub fn scraped(port: u16) -> Result<Self, String> {
        let answer = http::ask_port(port, "/metrics").and_then(http::Pending::answer);
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status == 200 { Self::parse(&answer.body) } else { Err(format!("{answer:?}")) }
    }

    /// The numbers in a text.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.ends_with("# EOF\n") {
            return Err(format!("it does not end as it ought to: {text}"));
        }
        let line = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|text| line(text).ok_or_else(|| format!("no number: {text}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The sum of all series of that name that have all these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matches = |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            found == name
                && labels.iter().all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
        };
        self.0.iter().filter(|(series, _)| matches(series)).map(|(_, value)| value).sum()
    }

    /// Totals that are less than they were before.
    #[must_use]
    pub fn fallen_since(&self, before: &Self) -> Vec<String> {
        let is_total = |series: &str| {
            let name = series.split('{').next().unwrap_or(series);
            ["_total", "_count", "_sum", "_bucket"].iter().any(|ending| name.ends_with(ending))
        };
        let fallen = |(series, was): (&String, &f64)| {
            let now = self.0.get(series)?;
            // The CPU time of a process that has started others is known only as long as they are.
            (is_total(series) && !series.contains("cpu") && now < was)
                .then(|| format!("{series}: {was}, {now}"))
        };
        before.0.iter().filter_map(fallen).collect()
    }
}

/// Somebody who looks all the time, by one connection after the other.
#[derive(Debug)]
pub struct Scraper {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: JoinHandle<Numbers>,
}

impl Scraper {
    /// Begins to look at that port, and to compare with what was seen `before`. Each look has to be answered, and no total may fall.
    #[must_use]
    pub fn start(port: u16, before: Numbers) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, looks) = (Arc::clone(&stop), Arc::clone(&count));
        let thread = thread::spawn(move || {
            let mut last = before;
            while !stopped.load(Relaxed) {
                let now = Numbers::scraped(port)
                    .unwrap_or_else(|error| panic!("a scrape is not answered: {error}"));
                let fallen = now.fallen_since(&last);
                assert!(fallen.is_empty(), "totals have fallen: {fallen:#?}");
                last = now;
                looks.fetch_add(1, Relaxed);
                thread::sleep(std::time::Duration::from_millis(20));
            }
            last
        });
        Self { stop, count, thread }
    }

    /// How often it has looked.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Stops, and returns what was seen last.
    ///
    /// # Panics
    ///
    /// When a look was not answered, or a total has fallen.
    #[must_use]
    pub fn finish(self) -> Numbers {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// A Prometheus that scrapes.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    port: Port,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes that port of this machine every second, and evaluates these rules.
    ///
    /// # Panics
    ///
    /// When it does not start: it is not installed, or refuses its configuration.
    #[must_use]
    pub fn start(scraped: u16, rules: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder of its own");
        let file = folder.path().join("prometheus.yml");
        let rules = rules.display();
        let text = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\nrule_files:\n  - {rules}\n\
             scrape_configs:\n  - job_name: nodesockd\n    static_configs:\n      - targets: [\"127.0.0.1:{scraped}\"]\n        \
             labels:\n          app: shop\n"
        );
        std::fs::write(&file, text).expect("a folder of its own");
        let port = Port::claim();
        let log = std::fs::File::create(folder.path().join("log")).expect("a folder of its own");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.number))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is installed: tests/run installs it");
        let prometheus = Self { child, port, _folder: folder };
        wait::until("Prometheus is ready", || {
            http::ask_port(prometheus.port.number, "/-/ready")
                .and_then(http::Pending::answer)
                .is_ok_and(|answer| answer.status == 200)
        });
        prometheus
    }

    /// What a query gives now: one element for each series.
    ///
    /// # Panics
    ///
    /// When the query is wrong.
    #[must_use]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(query)));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// The value of a query that gives one.
    #[must_use]
    pub fn value(&self, query: &str) -> Option<f64> {
        self.query(query).first()?["value"][1].as_str()?.parse().ok()
    }

    /// All rules, as it sees them.
    #[must_use]
    pub fn rules(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/rules");
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// By HTTP/1.0: its answers are in one piece.
    fn ask(&self, path: &str) -> Value {
        let mut stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.number)).expect("Prometheus listens");
        stream.set_read_timeout(Some(wait::limit())).expect("a socket");
        let request = format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("Prometheus reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("Prometheus answers");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}
