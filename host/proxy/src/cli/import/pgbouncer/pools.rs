//! Pools and limits: numbers and times.

use std::time::Duration;

use super::{Import, Named};
use crate::cli::import::document;
use crate::config::{Limits, MAX_CLIENTS, MAX_POOL_SIZE, Pool, show_duration};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A setting in seconds.
struct Time {
    setting: &'static str,
    header: &'static str,
    key: &'static str,
    /// What holds when the key is not there.
    default: Option<Duration>,
    least: Duration,
    most: Duration,
    /// What PgBouncer means by zero.
    zero: Zero,
}

/// What PgBouncer means by a time of zero.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zero {
    /// Without end.
    Endless,
    /// At once.
    AtOnce,
}

fn times() -> [Time; 8] {
    let (pool, limits) = (Pool::default(), Limits::default());
    let time = |setting, header, key, default, least, most| Time {
        setting,
        header,
        key,
        default,
        least,
        most,
        zero: Zero::Endless,
    };
    [
        time(
            "query_wait_timeout",
            "[pool]",
            "wait_timeout",
            Some(pool.wait_timeout),
            MILLISECOND,
            DAY,
        ),
        time(
            "server_idle_timeout",
            "[pool]",
            "idle_timeout",
            Some(pool.idle_timeout),
            SECOND,
            30 * DAY,
        ),
        Time {
            zero: Zero::AtOnce,
            ..time("server_lifetime", "[pool]", "lifetime", Some(pool.lifetime), SECOND, 30 * DAY)
        },
        time(
            "server_connect_timeout",
            "[pool]",
            "connect_timeout",
            Some(pool.connect_timeout),
            MILLISECOND,
            HOUR,
        ),
        time(
            "client_login_timeout",
            "[limits]",
            "login_timeout",
            Some(limits.login_timeout),
            10 * MILLISECOND,
            HOUR,
        ),
        time("client_idle_timeout", "[limits]", "idle_timeout", None, SECOND, 30 * DAY),
        time(
            "idle_transaction_timeout",
            "[limits]",
            "idle_in_transaction_timeout",
            None,
            SECOND,
            30 * DAY,
        ),
        time("query_timeout", "[limits]", "query_timeout", None, SECOND, 30 * DAY),
    ]
}

impl Import<'_> {
    /// `[pool]`, `[database.NAME]`, `[limits]` and `[log]`.
    pub(super) fn pools(&mut self) {
        let mode = self.mode();
        let from = self.from("pool_mode");
        self.document.table("[pool]").set("mode", mode, &from);
        self.size("default_pool_size", "[pool]", "size", MAX_POOL_SIZE);
        self.reset();
        if self.is_on("application_name_add_host") {
            let table = self.document.table("[pool]");
            table.set("show_client_address", true, "application_name_add_host");
        }
        self.size("max_client_conn", "[limits]", "max_clients", MAX_CLIENTS);
        for time in times() {
            self.time(&time);
        }
        self.database_pools();
        if self.whole("verbose") > 0 {
            self.document.table("[log]").set("level", "debug", "verbose");
        }
    }

    fn mode(&mut self) -> &'static str {
        let mode = self.word("pool_mode", &["session", "transaction", "statement"]);
        if mode != "statement" {
            return mode;
        }
        self.note_of("pool_mode", "there is no statement pooling; it is transaction pooling here");
        "transaction"
    }

    /// The pool mode of a user or database.
    pub(super) fn own_mode(&mut self, named: &Named) -> Option<&'static str> {
        let mode = named.get("pool_mode")?;
        match mode {
            "session" => Some("session"),
            "transaction" => Some("transaction"),
            "statement" => {
                let text = format!("{}: there is no statement pooling", named.name);
                self.note(&named.place, format!("{text}; it is transaction pooling here"));
                Some("transaction")
            }
            _ => {
                let message = format!("{}: pool_mode: there is no mode \"{mode}\"", named.name);
                self.mistakes.push(named.place.mistake(message));
                None
            }
        }
    }

    /// A number of a user or database. Zero, or less, says nothing.
    pub(super) fn own_size(&mut self, named: &Named, key: &str, most: usize) -> Option<i64> {
        let text = named.get(key)?;
        let Ok(number) = text.parse::<i64>() else {
            let message = format!("{}: {key}: \"{text}\" is not a whole number", named.name);
            self.mistakes.push(named.place.mistake(message));
            return None;
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Some(number.min(most)).filter(|number| *number > 0)
    }

    /// A number that must be there. Zero means the least that is possible.
    fn size(&mut self, setting: &str, header: &str, key: &str, most: usize) {
        let wanted = self.whole(setting);
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let number = wanted.clamp(1, most);
        if number != wanted {
            self.note_of(setting, format!("it must be 1 to {most} here, and is {number} now"));
        }
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let from = self.from(setting);
        self.document.table(header).set(key, number, &from);
    }

    fn time(&mut self, time: &Time) {
        let text = self.text(time.setting);
        let seconds = text.parse().ok().and_then(|s: f64| Duration::try_from_secs_f64(s).ok());
        let Some(wanted) = seconds else {
            let message = format!("{}: \"{text}\" is not a number of seconds", time.setting);
            return self.mistake_of(time.setting, message);
        };
        let endless = wanted.is_zero() && time.zero == Zero::Endless;
        if endless && time.default.is_none() {
            return;
        }
        let here = if endless { time.most } else { wanted.clamp(time.least, time.most) };
        if here != wanted {
            let here = show_duration(here);
            let said = if endless { "it has an end here" } else { "it cannot be so here" };
            self.note_of(time.setting, format!("{said}, and is {here} now"));
        }
        if time.default != Some(here) || self.ini.setting(time.setting).is_some() {
            let from = self.from(time.setting);
            self.document.table(time.header).set(time.key, show_duration(here), &from);
        }
    }

    fn reset(&mut self) {
        let query = self.text("server_reset_query").trim_end_matches(';');
        if !query.eq_ignore_ascii_case("DISCARD ALL") {
            self.note_of(
                "server_reset_query",
                "sessions are always reset by DISCARD ALL, unless pool.reset is \"close\"",
            );
        }
        if self.is_on("server_reset_query_always") {
            let table = self.document.table("[pool]");
            table.set("reset_always", true, "server_reset_query_always");
        }
    }

    fn database_pools(&mut self) {
        let all = self.whole("max_db_client_connections");
        for named in std::mem::take(&mut self.databases) {
            let (mode, size) =
                (self.own_mode(&named), self.own_size(&named, "pool_size", MAX_POOL_SIZE));
            let own = self.own_size(&named, "max_db_client_connections", MAX_CLIENTS);
            let clients = own.or(i64::try_from(all).ok().filter(|all| *all > 0));
            if mode.is_none() && size.is_none() && clients.is_none() {
                continue;
            }
            let real = named.get("dbname").unwrap_or(&named.name);
            if real == "*" {
                let text = "say it in [pool], or in [database.NAME] for each";
                self.note(&named.place, format!("*: pools and clients of other databases: {text}"));
                continue;
            }
            let table = self.document.table(&format!("[database.{}]", document::name(real)));
            if let Some(mode) = mode.filter(|_| !table.has("pool_mode")) {
                table.set("pool_mode", mode, "");
            }
            if let Some(size) = size.filter(|_| !table.has("pool_size")) {
                table.set("pool_size", size, "");
            }
            if let Some(clients) = clients.filter(|_| !table.has("max_clients")) {
                table.set("max_clients", clients, "");
            }
        }
    }
}
