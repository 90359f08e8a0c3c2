/// Lines in the proxy's log.
pub mod log {
    #[cfg(target_arch = "wasm32")]
    use crate::bindings::imports::howdah::policy::log as wit;
    pub use crate::bindings::imports::howdah::policy::log::Level;

    /// Writes one line.
    pub fn write(level: Level, message: &str) {
        #[cfg(target_arch = "wasm32")]
        wit::write(level, message);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.lines.push((level, message.to_owned())));
    }

    /// Writes one line of level info.
    pub fn info(message: &str) {
        write(Level::Info, message);
    }

    /// Writes one line of level warn.
    pub fn warn(message: &str) {
        write(Level::Warn, message);
    }
}

/// The policy's settings at any time.
pub mod settings {
    use crate::Value;

    /// A setting by name.
    pub fn get(name: &str) -> Option<Value> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::settings::get(name);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.settings.get(name).cloned())
    }
}

/// Metrics, prefixed with the policy's name. Needs `grants = ["metrics"]`.
pub mod metrics {
    /// Adds to a counter.
    pub fn count(name: &str, by: u64) {
        #[cfg(target_arch = "wasm32")]
        crate::bindings::imports::howdah::policy::metrics::count(name, by);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| *host.metrics.entry(name.to_owned()).or_default() += by as f64);
    }

    /// Sets a gauge.
    pub fn gauge(name: &str, value: f64) {
        #[cfg(target_arch = "wasm32")]
        crate::bindings::imports::howdah::policy::metrics::gauge(name, value);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| {
            host.metrics.insert(name.to_owned(), value);
        });
    }
}

/// More about the question that is being asked. Answers that depend on it are not remembered by digest; those
/// that depend on who asks are not remembered at all.
pub mod question {
    /// A key of the statement's comment in sqlcommenter form.
    pub fn tag(key: &str) -> Option<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::question::tag(key);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.tags.get(key).cloned())
    }

    /// The user that the client authenticated as.
    pub fn user() -> String {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::question::user();
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.user.clone())
    }

    /// The database that the client asked for.
    pub fn database() -> String {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::question::database();
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.database.clone())
    }

    /// `application_name`, as the client last set it.
    pub fn application_name() -> String {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::question::application_name();
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.application_name.clone())
    }
}
