//! Generated from `wit/`. Nothing outside of this crate sees these types.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "policy",
});
