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

    /// Adds a value to a histogram, whose buckets are powers of two.
    pub fn observe(name: &str, value: u64) {
        #[cfg(target_arch = "wasm32")]
        crate::bindings::imports::howdah::policy::metrics::observe(name, value);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| {
            host.histograms.entry(name.to_owned()).or_default().push(value);
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

    pub use crate::bindings::imports::howdah::policy::question::ParameterValue;

    /// The value bound to `$number`, counted from 1.
    pub fn parameter(number: u16) -> Option<ParameterValue> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::question::parameter(number);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| {
            host.parameters.get(usize::from(number).checked_sub(1)?).cloned()
        })
    }

    /// The constant at this place, counted from 0.
    pub fn literal(index: u32) -> Option<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::question::literal(index);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.literals.get(index as usize).cloned())
    }

    /// Tables, views and functions that the statement reads from, and tables that it changes.
    pub fn relations() -> Vec<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::question::relations();
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.relations.clone())
    }
}

/// Values that all instances of a policy share. Needs `grants = ["kv"]`. Answers that used them are not remembered.
pub mod kv {
    #[cfg(target_arch = "wasm32")]
    use crate::bindings::imports::howdah::policy::kv as wit;
    pub use crate::bindings::imports::howdah::policy::kv::Error;
    use std::time::Duration;

    #[cfg(target_arch = "wasm32")]
    fn ms(ttl: Option<Duration>) -> Option<u64> {
        ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
    }

    /// The value of a key.
    pub fn get(key: &str) -> Option<Vec<u8>> {
        #[cfg(target_arch = "wasm32")]
        return wit::get(key);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.kv_get(key))
    }

    /// Sets a value, which is forgotten after `ttl`.
    ///
    /// # Errors
    /// It is too large, or there is no room.
    pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), Error> {
        #[cfg(target_arch = "wasm32")]
        return wit::set(key, value, ms(ttl));
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.kv_set(key, value, ttl))
    }

    /// Forgets a value.
    pub fn delete(key: &str) {
        #[cfg(target_arch = "wasm32")]
        wit::delete(key);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.kv.remove(key));
    }

    /// Sets a value if the present one is as expected, and tells whether it was. None: if there is none.
    ///
    /// # Errors
    /// It is too large, or there is no room.
    pub fn compare_and_swap(
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        #[cfg(target_arch = "wasm32")]
        return wit::compare_and_swap(key, expected, value, ms(ttl));
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| {
            let same = host.kv_get(key).as_deref() == expected;
            if same {
                host.kv_set(key, value, ttl)?;
            }
            Ok(same)
        })
    }

    /// Adds to a number and tells the sum. `ttl` counts from when the number was first there.
    ///
    /// # Errors
    /// What is there is no number, or there is no room.
    pub fn increment(key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Error> {
        #[cfg(target_arch = "wasm32")]
        return wit::increment(key, by, ms(ttl));
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.kv_increment(key, by, ttl))
    }
}

/// Clocks. Needs `grants = ["clock"]`. Answers that looked at one are not remembered.
pub mod clock {
    use std::time::Duration;

    /// Since some moment in the past; never goes backwards.
    pub fn monotonic() -> Duration {
        #[cfg(target_arch = "wasm32")]
        return Duration::from_nanos(
            crate::bindings::imports::howdah::policy::clock::monotonic_ns(),
        );
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.now)
    }

    /// Since 1970-01-01 00:00 UTC, in whole milliseconds.
    pub fn wall() -> Duration {
        #[cfg(target_arch = "wasm32")]
        return Duration::from_millis(crate::bindings::imports::howdah::policy::clock::wall_ms());
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.wall + host.now)
    }
}

/// Random numbers. Needs `grants = ["random"]`. Answers that used one are not remembered.
pub mod random {
    /// The next one.
    pub fn next() -> u64 {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::random::next();
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.random.pop_front().unwrap_or_default())
    }
}

/// The nodes at any time. Needs `grants = ["nodes"]`.
pub mod nodes {
    use crate::Node;

    /// All nodes of all clusters.
    pub fn all() -> Vec<Node> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::nodes::all();
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| host.nodes.clone())
    }
}

/// What is known of the session's database. Needs `grants = ["catalog"]`.
pub mod catalog {
    pub use crate::bindings::imports::howdah::policy::catalog::Volatility;

    /// The worst of all functions that a call by this name may mean.
    pub fn function(schema: Option<&str>, name: &str) -> Volatility {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::imports::howdah::policy::catalog::function(schema, name);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::with(|host| {
            let full = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
            host.functions.get(&full).copied().unwrap_or(Volatility::Unknown)
        })
    }
}
