use super::Step;
use crate::config::parts::Kv;
use crate::config::value::At;
use crate::config::written;

impl Step<'_> {
    /// Where values are exchanged. Without a URL nowhere, and then nothing else may be said of it.
    pub(super) fn kv(&self, At { at: table, value: written }: At<written::Kv>) -> Option<Kv> {
        let said = written != written::Kv::default();
        let password =
            self.own_password(table, written.password, written.password_file, written.password_env);
        let Some(url) = written.url else {
            if said {
                let message = "kv: the url is missing, as in url = \"redis://HOST:PORT/0\"";
                self.mistakes.add_missing(table, message);
            }
            return None;
        };
        Some(Kv {
            server: url.value.0,
            database: url.value.1,
            user: written.user,
            password,
            refresh: written.refresh,
            prefix: written.prefix,
            connect_timeout: written.connect_timeout,
            timeout: written.timeout,
        })
    }
}
