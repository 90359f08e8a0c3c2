//! Generated from `wit/`: one module per hook, so that a component exports only what its policy has.
#![allow(unsafe_code, missing_docs, clippy::all)]

/// What the host offers, and the shared types.
pub mod imports {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "imports",
        generate_all,
        pub_export_macro: true,
    });
}

macro_rules! hook {
    ($name:ident, $world:literal) => {
        #[doc(hidden)]
        pub mod $name {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                with: {
                    "howdah:policy/types@0.1.0": crate::bindings::imports::howdah::policy::types,
                    "howdah:policy/log@0.1.0": crate::bindings::imports::howdah::policy::log,
                    "howdah:policy/settings@0.1.0": crate::bindings::imports::howdah::policy::settings,
                    "howdah:policy/question@0.1.0": crate::bindings::imports::howdah::policy::question,
                    "howdah:policy/metrics@0.1.0": crate::bindings::imports::howdah::policy::metrics,
                    "howdah:policy/kv@0.1.0": crate::bindings::imports::howdah::policy::kv,
                    "howdah:policy/clock@0.1.0": crate::bindings::imports::howdah::policy::clock,
                    "howdah:policy/random@0.1.0": crate::bindings::imports::howdah::policy::random,
                    "howdah:policy/nodes@0.1.0": crate::bindings::imports::howdah::policy::nodes,
                    "howdah:policy/catalog@0.1.0": crate::bindings::imports::howdah::policy::catalog,
                },
                pub_export_macro: true,
            });
        }
    };
}

hook!(configure, "configure-hook");
hook!(session, "session-hook");
hook!(route, "route-hook");
hook!(rewrite, "rewrite-hook");
hook!(topology, "topology-hook");
hook!(retry, "retry-hook");
hook!(observe, "observe-hook");
hook!(tick, "tick-hook");
hook!(state, "state-hook");
