//! What the proxy counts, for Prometheus: figures are gathered when somebody asks.
//!
//! Labels are names of the configuration and words of ours, never anything that clients send: their number is bounded.

mod catalogue;
mod clients;
mod family;
mod nodes;
mod policies;
mod process;
mod queries;
mod reference;
mod sessions;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use crate::worker::Shared;
use family::Family;
pub(crate) use process::resident_memory;
pub(crate) use reference::reference;

/// All figures, gathered.
struct Gathered(Vec<Family>);

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

/// All figures as OpenMetrics has them (https://prometheus.io/docs/specs/om/open_metrics_spec/).
pub(crate) async fn text(shared: &Shared) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Gathered(families(shared).await)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

async fn families(shared: &Shared) -> Vec<Family> {
    let census = shared.ask(|ctx| ctx.census()).await;
    let mut all = clients::families(shared);
    all.extend(sessions::families(shared, &census));
    all.extend(queries::families(shared));
    all.extend(nodes::of_clusters(shared));
    all.extend(nodes::of_nodes(shared));
    all.extend(policies::families(&shared.registry));
    all.extend(process::families(&census));
    all
}
