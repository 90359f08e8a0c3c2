//! Spans as OTLP has them in JSON (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>), named after the semantic
//! conventions for databases.

use howdah_wire::hex;
use serde_json::{Value, json};

use super::{Batch, Lap};
use crate::upstream::random;

/// SPAN_KIND_INTERNAL, SPAN_KIND_SERVER, SPAN_KIND_CLIENT and STATUS_CODE_ERROR (trace.proto).
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

/// An ExportTraceServiceRequest.
pub(super) fn request(service: &str, batches: &[Batch]) -> Value {
    let spans: Vec<Value> = batches.iter().flat_map(spans).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", service),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ] },
        "scopeSpans": [{
            "scope": { "name": "howdah", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }] })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit numbers are texts.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// The span of a batch, and those within it.
fn spans(batch: &Batch) -> Vec<Value> {
    let (trace, own) = (hex(&batch.context.trace), hex(&random::<8>()));
    let mut attributes = vec![
        text("db.system.name", "postgresql"),
        text("db.namespace", &batch.database),
        text("db.operation.name", batch.kind),
        text("howdah.cluster", &batch.cluster),
        text("howdah.digest", &format!("{:016x}", batch.digest)),
        text("howdah.verdict.source", batch.source),
        number("db.response.returned_rows", batch.rows),
    ];
    attributes.extend(batch.node.as_deref().map(|node| text("server.address", node)));
    attributes.extend(batch.decided_by.as_deref().map(|policy| text("howdah.policy", policy)));
    let status = match &batch.sqlstate {
        None => json!({}),
        Some(state) => {
            attributes.push(text("db.response.status_code", state));
            json!({ "code": ERROR, "message": state })
        }
    };
    let mut whole = span(&trace, &own, batch.kind, SERVER, batch.whole);
    whole["attributes"] = Value::Array(attributes);
    whole["status"] = status;
    if let Some(parent) = batch.context.parent {
        whole["parentSpanId"] = hex(&parent).into();
    }
    let mut spans = vec![whole];
    let parts = [
        ("policy", INTERNAL, batch.policy),
        ("wait for a server", INTERNAL, batch.wait),
        ("server", CLIENT, batch.server),
    ];
    for (name, kind, lap) in parts {
        let Some(lap) = lap else { continue };
        let mut part = span(&trace, &hex(&random::<8>()), name, kind, lap);
        part["parentSpanId"] = own.as_str().into();
        spans.push(part);
    }
    spans
}

fn span(trace: &str, id: &str, name: &str, kind: u8, lap: Lap) -> Value {
    json!({
        "traceId": trace,
        "spanId": id,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": lap.from.to_string(),
        "endTimeUnixNano": lap.to.to_string(),
    })
}
