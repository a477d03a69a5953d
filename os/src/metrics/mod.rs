//! Metrics: as text, and served to Prometheus.
//!
//! | module | is about |
//! | --- | --- |
//! | `exposition` | the text, from what the daemon and the kernel know |
//! | `kernel` | what the kernel knows of workers and of the daemon |
//! | `server` | serving it by HTTP |
//! | `scrape` | one connection of that |

pub(crate) mod exposition;
pub(crate) mod kernel;
pub(crate) mod scrape;
pub(crate) mod server;

use nodesockd_core::metrics::Metrics;

/// The numbers in the format of OpenMetrics. What the kernel knows is asked for now.
pub async fn exposition(metrics: Metrics) -> String {
    let kernel = kernel::look(&metrics).await;
    exposition::text(metrics, kernel)
}
