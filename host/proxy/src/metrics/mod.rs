//! What the proxy counts, for Prometheus: figures are gathered when somebody asks.
//!
//! Labels are names of the configuration and words of ours, never anything that clients send: their number is bounded.

mod catalogue;
mod clients;
mod family;
mod http;
mod nodes;
mod policies;
mod process;
mod queries;
mod reference;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use crate::worker::Shared;
use family::Family;
pub(crate) use http::serve;
pub(crate) use reference::reference;

/// The proxy's figures.
struct Figures(Arc<Shared>);

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families(&self.0).iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

/// All figures as OpenMetrics has them (https://prometheus.io/docs/specs/om/open_metrics_spec/).
pub(crate) fn text(shared: &Arc<Shared>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures(Arc::clone(shared))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

fn families(shared: &Shared) -> Vec<Family> {
    let mut all = clients::families(shared);
    all.extend(queries::families(shared));
    all.extend(nodes::of_clusters(shared));
    all.extend(nodes::of_nodes(shared));
    all.extend(policies::families(&shared.registry));
    all.extend(process::families());
    all
}
