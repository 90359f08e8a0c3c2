/// Exports hooks of a policy: `export!(MyPolicy: configure, route);`. Does nothing outside of WebAssembly.
#[macro_export]
macro_rules! export {
    ($policy:ty: $($hook:ident),+ $(,)?) => {
        #[doc(hidden)]
        #[cfg(target_arch = "wasm32")]
        mod __howdah {
            #[allow(unused_imports)]
            use super::*;

            thread_local! {
                static POLICY: ::std::cell::RefCell<$policy> = ::std::cell::RefCell::default();
            }

            #[allow(dead_code)]
            fn with<T>(ask: impl FnOnce(&mut $policy) -> T) -> T {
                $crate::room::run(|| POLICY.with_borrow_mut(ask))
            }

            struct Component;

            $($crate::__hook!($hook);)+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __hook {
    (configure) => {
        impl $crate::bindings::configure::exports::howdah::policy::configure::Guest for Component {
            fn configure(
                settings: ::std::vec::Vec<(::std::string::String, $crate::Value)>,
            ) -> ::std::result::Result<(), ::std::string::String> {
                with(|policy| $crate::Configure::configure(policy, &$crate::Settings(settings)))
            }
        }
        $crate::bindings::configure::export!(Component with_types_in $crate::bindings::configure);
    };
    (session) => {
        impl $crate::bindings::session::exports::howdah::policy::session::Guest for Component {
            fn open(client: $crate::Client) -> $crate::SessionDecision {
                with(|policy| $crate::Session::open(policy, &client))
            }

            fn closed(id: u64) {
                with(|policy| $crate::Session::closed(policy, id))
            }
        }
        $crate::bindings::session::export!(Component with_types_in $crate::bindings::session);
    };
    (route) => {
        impl $crate::bindings::route::exports::howdah::policy::route::Guest for Component {
            fn route(
                sql: ::std::string::String,
                kind: $crate::Kind,
                digest: u64,
                facts: $crate::Facts,
                class: u32,
            ) -> $crate::Verdict {
                let statement = $crate::Statement { sql: &sql, kind, digest, facts, class };
                with(|policy| $crate::Route::route(policy, &statement))
            }
        }
        $crate::bindings::route::export!(Component with_types_in $crate::bindings::route);
    };
    (rewrite) => {
        impl $crate::bindings::rewrite::exports::howdah::policy::rewrite::Guest for Component {
            fn rewrite(
                sql: ::std::string::String,
                kind: $crate::Kind,
                digest: u64,
                facts: $crate::Facts,
                class: u32,
            ) -> $crate::Rewritten {
                let statement = $crate::Statement { sql: &sql, kind, digest, facts, class };
                with(|policy| $crate::Rewrite::rewrite(policy, &statement))
            }
        }
        $crate::bindings::rewrite::export!(Component with_types_in $crate::bindings::rewrite);
    };
    (topology) => {
        impl $crate::bindings::topology::exports::howdah::policy::topology::Guest for Component {
            fn changed(epoch: u64, nodes: ::std::vec::Vec<$crate::Node>) {
                with(|policy| $crate::Topology::changed(policy, epoch, &nodes))
            }
        }
        $crate::bindings::topology::export!(Component with_types_in $crate::bindings::topology);
    };
    (retry) => {
        impl $crate::bindings::retry::exports::howdah::policy::retry::Guest for Component {
            fn failed(
                failure: $crate::Failure,
                sql: ::std::string::String,
                kind: $crate::Kind,
                digest: u64,
                facts: $crate::Facts,
                class: u32,
            ) -> $crate::RetryDecision {
                let statement = $crate::Statement { sql: &sql, kind, digest, facts, class };
                with(|policy| $crate::Retry::failed(policy, &failure, &statement))
            }
        }
        $crate::bindings::retry::export!(Component with_types_in $crate::bindings::retry);
    };
    (observe) => {
        impl $crate::bindings::observe::exports::howdah::policy::observe::Guest for Component {
            fn statements(batch: ::std::vec::Vec<$crate::Observation>) {
                with(|policy| $crate::Observe::statements(policy, &batch))
            }
        }
        $crate::bindings::observe::export!(Component with_types_in $crate::bindings::observe);
    };
    (tick) => {
        impl $crate::bindings::tick::exports::howdah::policy::tick::Guest for Component {
            fn tick() -> u32 {
                with(|policy| $crate::Tick::tick(policy))
            }
        }
        $crate::bindings::tick::export!(Component with_types_in $crate::bindings::tick);
    };
    (state) => {
        impl $crate::bindings::state::exports::howdah::policy::state::Guest for Component {
            fn snapshot() -> ::std::vec::Vec<u8> {
                with(|policy| $crate::State::snapshot(policy))
            }

            fn restore(
                state: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<(), ::std::string::String> {
                with(|policy| $crate::State::restore(policy, &state))
            }
        }
        $crate::bindings::state::export!(Component with_types_in $crate::bindings::state);
    };
}
