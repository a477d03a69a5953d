//! The numbers as text, in the format of OpenMetrics. `docs/12-watching.md` says what each of them means.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use nodesockd_core::metrics::{self, CLASSES, DURATIONS, Histogram, LAGS, Metrics, TAKEOVERS, WorkerMetrics};
use nodesockd_core::wire::WorkerState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::kernel::Kernel;

/// What the text is, in HTTP.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All states on the wire, by their names.
const STATES: [WorkerState; 7] = [
    WorkerState::Waiting,
    WorkerState::Running,
    WorkerState::Online,
    WorkerState::Suspended,
    WorkerState::Broken,
    WorkerState::Terminating,
    WorkerState::Dead,
];

type Labels = Vec<(&'static str, String)>;

/// The value of one series.
#[derive(Debug)]
enum Value {
    Counter(f64),
    Gauge(f64),
    Histogram { sum: f64, count: u64, buckets: Vec<(f64, u64)> },
}

/// Series of one name.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    series: Vec<(Labels, Value)>,
}

#[derive(Debug)]
struct Families(Vec<Family>);

/// The text.
pub(crate) fn text(metrics: Metrics, kernel: Kernel) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families(&metrics, &kernel))));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

fn families(metrics: &Metrics, kernel: &Kernel) -> Vec<Family> {
    let mut all = of_app(metrics);
    all.extend(of_requests(metrics));
    all.extend(of_workers(metrics, kernel));
    all.extend(of_kernel(kernel));
    all
}

fn of_app(metrics: &Metrics) -> Vec<Family> {
    let labels = vec![("name", metrics.name.clone()), ("version", metrics.version.clone())];
    let state = |state: WorkerState| metrics.workers.iter().filter(|worker| worker.state == state).count();
    let states = STATES.map(|of| (vec![("state", name(&of))], Value::Gauge(float(state(of) as u64))));
    let operations = metrics.operations.iter().flat_map(|(operation, outcomes)| {
        outcomes.iter().map(move |(outcome, count)| {
            (vec![("operation", operation.clone()), ("outcome", outcome.clone())], counter(*count))
        })
    });
    vec![
        one("nodesockd_daemon_info", "The daemon that answers.", labels, Value::Gauge(1.0)),
        gauge("nodesockd_generation", "The number of the generation in force.", metrics.generation),
        Family {
            name: "nodesockd_workers",
            help: "Workers that have a process, by state.",
            series: states.into_iter().collect(),
        },
        gauge("nodesockd_workers_wanted", "Workers that there ought to be in slots.", metrics.wanted),
        gauge("nodesockd_standbys_wanted", "Standbys that there ought to be.", metrics.wanted_standbys),
        gauge("nodesockd_slots_unserved", "Slots that ought to be served and are not.", metrics.unserved),
        gauge("nodesockd_suspended", "1 while the app is suspended.", u32::from(metrics.suspended)),
        total(
            "nodesockd_suspended_seconds",
            "For how long the app was suspended.",
            metrics.suspended_ms as f64 / 1e3,
        ),
        total("nodesockd_worker_starts", "Workers started.", float(metrics.started)),
        tally("nodesockd_worker_deaths", "Workers that have ended, by reason.", "reason", &metrics.deaths),
        Family {
            name: "nodesockd_operations",
            help: "What people asked for, by what it was and how it ended.",
            series: operations.collect(),
        },
        tally(
            "nodesockd_incidents",
            "What has happened without being asked for.",
            "incident",
            &metrics.incidents,
        ),
        total(
            "nodesockd_links_repaired",
            "Links made again that somebody had removed.",
            float(metrics.links_repaired),
        ),
        histogram(
            "nodesockd_takeover_seconds",
            "For how long a slot was not served after its worker had failed.",
            &TAKEOVERS,
            &metrics.takeovers,
        ),
    ]
}

fn of_requests(metrics: &Metrics) -> Vec<Family> {
    let traffic = &metrics.traffic;
    let class = |(index, class): (usize, &str)| {
        (vec![("class", class.to_owned())], counter(traffic.requests.get(index).copied().unwrap_or(0)))
    };
    vec![
        Family {
            name: "nodesockd_requests",
            help: "Requests that workers have answered, by the class of the status.",
            series: CLASSES.into_iter().enumerate().map(class).collect(),
        },
        histogram(
            "nodesockd_request_duration_seconds",
            "From a request's arrival at the worker to the end of its answer.",
            &DURATIONS,
            &traffic.duration,
        ),
        histogram(
            "nodesockd_event_loop_lag_seconds",
            "How late the event loops of workers were, looked at ten times a second.",
            &LAGS,
            &traffic.lag,
        ),
    ]
}

fn of_workers(metrics: &Metrics, kernel: &Kernel) -> Vec<Family> {
    let each = |name, help, value: &dyn Fn(&WorkerMetrics) -> Option<Value>| {
        let row = |worker: &WorkerMetrics| Some((labels(worker), value(worker)?));
        Family { name, help, series: metrics.workers.iter().filter_map(row).collect() }
    };
    let used = |worker: &WorkerMetrics| kernel.workers.get(&worker.pid);
    vec![
        each("nodesockd_worker_requests", "Requests that the worker has answered.", &|worker| {
            worker.requests.map(counter)
        }),
        each("nodesockd_worker_requests_in_flight", "Requests that it has not answered yet.", &|worker| {
            worker.level.map(|level| Value::Gauge(float(level.in_flight)))
        }),
        each("nodesockd_worker_heap_used_bytes", "What is in use of its heap.", &|worker| {
            worker.level.map(|level| Value::Gauge(float(level.heap_used)))
        }),
        each("nodesockd_worker_heap_limit_bytes", "What its heap may have.", &|worker| {
            worker.level.map(|level| Value::Gauge(float(level.heap_limit)))
        }),
        each("nodesockd_worker_cpu_seconds", "CPU time, with all that it has started.", &|worker| {
            used(worker)?.cpu.map(|cpu| Value::Counter(cpu.as_secs_f64()))
        }),
        each("nodesockd_worker_resident_memory_bytes", "Memory, with all that it has started.", &|worker| {
            used(worker)?.memory.map(|bytes| Value::Gauge(float(bytes)))
        }),
        each("nodesockd_worker_open_fds", "Descriptors that it has open.", &|worker| {
            used(worker)?.descriptors.map(|count| Value::Gauge(float(count)))
        }),
    ]
}

fn of_kernel(kernel: &Kernel) -> Vec<Family> {
    let queue = |(slot, length): (&nodesockd_core::id::SlotIndex, &u32)| {
        (vec![("slot", slot.to_string())], Value::Gauge((*length).into()))
    };
    let of_daemon = |name, help, value: Option<Value>| Family {
        name,
        help,
        series: value.map(|value| (Vec::new(), value)).into_iter().collect(),
    };
    let daemon = &kernel.daemon;
    let seconds = |cpu: Duration| Value::Counter(cpu.as_secs_f64());
    let bytes = |bytes| Value::Gauge(float(bytes));
    vec![
        Family {
            name: "nodesockd_slot_accept_queue",
            help: "Connections that wait to be accepted, by slot.",
            series: kernel.queues.iter().map(queue).collect(),
        },
        of_daemon("process_cpu_seconds", "CPU time of the daemon.", daemon.cpu.map(seconds)),
        of_daemon("process_resident_memory_bytes", "Memory of the daemon.", daemon.memory.map(bytes)),
        of_daemon("process_open_fds", "Descriptors that the daemon has open.", daemon.descriptors.map(bytes)),
    ]
}

fn labels(worker: &WorkerMetrics) -> Labels {
    let slot = worker.slot.map_or_else(|| "standby".to_owned(), |slot| slot.to_string());
    vec![("slot", slot), ("worker", worker.id.short())]
}

fn name(state: &WorkerState) -> String {
    serde_json::to_value(state).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of Prometheus are no others")]
fn float(number: u64) -> f64 {
    number as f64
}

fn counter(count: u64) -> Value {
    Value::Counter(float(count))
}

fn one(name: &'static str, help: &'static str, labels: Labels, value: Value) -> Family {
    Family { name, help, series: vec![(labels, value)] }
}

fn gauge(name: &'static str, help: &'static str, value: u32) -> Family {
    one(name, help, Vec::new(), Value::Gauge(value.into()))
}

fn total(name: &'static str, help: &'static str, value: f64) -> Family {
    one(name, help, Vec::new(), Value::Counter(value))
}

fn tally(name: &'static str, help: &'static str, label: &'static str, tally: &metrics::Tally) -> Family {
    let row = |(what, count): (&String, &u64)| (vec![(label, what.clone())], counter(*count));
    Family { name, help, series: tally.iter().map(row).collect() }
}

fn histogram(name: &'static str, help: &'static str, bounds: &[u64], seen: &Histogram) -> Family {
    let seconds = |micros: u64| float(micros) / 1e6;
    let above = [(f64::INFINITY, seen.counts.get(bounds.len()))];
    let bounds = bounds.iter().enumerate().map(|(index, bound)| (seconds(*bound), seen.counts.get(index)));
    let buckets = bounds.chain(above).map(|(bound, count)| (bound, count.copied().unwrap_or(0)));
    let value = Value::Histogram { sum: seconds(seen.sum), count: seen.count(), buckets: buckets.collect() };
    one(name, help, Vec::new(), value)
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, series } in &self.0 {
            let Some((_, first)) = series.first() else { continue };
            let kind = match first {
                Value::Counter(_) => MetricType::Counter,
                Value::Gauge(_) => MetricType::Gauge,
                Value::Histogram { .. } => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, value) in series {
                let labels: Vec<(&str, Cow<'_, str>)> =
                    labels.iter().map(|(name, value)| (*name, Cow::from(value))).collect();
                let none: Option<&Exemplar<NoLabelSet, f64>> = None;
                // Without labels there are no braces.
                if labels.is_empty() {
                    value.encode(&mut family, none)?;
                } else {
                    value.encode(&mut family.encode_family(&labels)?, none)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(
        &self,
        into: &mut prometheus_client::encoding::MetricEncoder<'_>,
        none: Option<&Exemplar<NoLabelSet, f64>>,
    ) -> fmt::Result {
        match self {
            Self::Counter(value) => into.encode_counter(value, none),
            Self::Gauge(value) => into.encode_gauge(value),
            Self::Histogram { sum, count, buckets } => {
                into.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
            }
        }
    }
}
