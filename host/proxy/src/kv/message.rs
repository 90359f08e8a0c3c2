//! One exchange with Redis: what is sent, and what is answered.

use std::time::{Duration, Instant};

use howdah_policy::{Due, News};
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script, Value};

/// Life of a proxy's mark: longer than any exchange is tried again.
const MARK_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// For how long it is remembered that something was deleted: longer than Redis should be away.
const DELETED_LIFE: Duration = Duration::from_secs(3_600);
/// Largest value that is taken; policies cannot set larger ones.
const LARGEST: usize = 64 << 10;
/// Most bytes of values in an answer; what has no room is asked for again.
const MAX_ANSWER: usize = 4 << 20;

/// What is the same in all exchanges of this process.
pub(super) struct Sender {
    script: Script,
    prefix: String,
    mark: String,
}

/// What Redis says of a key.
pub(super) struct Answer {
    pub(super) news: News,
    /// When it was set.
    pub(super) at: u64,
    /// Something could not be added: what is there is not a number, or the sum has more than 64 bits.
    pub(super) not_added: bool,
}

impl Sender {
    pub(super) fn new(prefix: &str) -> Sender {
        let name = howdah_wire::hex(&crate::upstream::random::<8>());
        Sender {
            script: Script::new(include_str!("exchange.lua")),
            prefix: prefix.to_owned(),
            mark: format!("{prefix}proxy:{name}"),
        }
    }

    /// Tells what is due. The same number again does nothing again, but answers all the same.
    pub(super) async fn exchange(
        &self,
        connection: &mut MultiplexedConnection,
        number: u64,
        due: &[Due],
        believable: u64,
    ) -> RedisResult<Vec<Answer>> {
        let mut call = self.script.prepare_invoke();
        call.key(&self.mark)
            .arg(number)
            .arg(milliseconds(MARK_LIFE))
            .arg(milliseconds(DELETED_LIFE))
            .arg(believable)
            .arg(LARGEST)
            .arg(MAX_ANSWER);
        let now = Instant::now();
        for one in due {
            call.key(self.key(one));
            let value = one.written.as_ref().and_then(|written| written.value.as_deref());
            match &one.written {
                Some(written) => call.arg(written.at).arg(i32::from(value.is_none())),
                None => call.arg("").arg(0),
            };
            call.arg(value.unwrap_or_default()).arg(one.add);
            match one.expires {
                // At least one: it is over at once then, as it is here.
                Some(at) => call.arg(milliseconds(at - now).max(1)),
                None => call.arg(""),
            };
        }
        let answers: Vec<Value> = call.invoke_async(connection).await?;
        Ok(answers.into_iter().map(answer).collect())
    }

    /// The name of a key in Redis. The space ends at the first colon, whatever it is called.
    fn key(&self, due: &Due) -> String {
        let space = due.space.replace('%', "%25").replace(':', "%3A");
        format!("{}kv:{space}:{}", self.prefix, due.key)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads what is said of a key. What is not understood is not a value.
fn answer(value: Value) -> Answer {
    let unusable = || Answer { news: News::Unusable, at: 0, not_added: false };
    let Value::Array(parts) = value else { return unusable() };
    let Ok([Value::Int(what), value, Value::Int(ttl), Value::BulkString(at), Value::Int(failed)]) =
        <[Value; 5]>::try_from(parts)
    else {
        return unusable();
    };
    let at = std::str::from_utf8(&at).ok().and_then(|at| at.parse().ok()).unwrap_or(0);
    let expires = u64::try_from(ttl).ok().map(Duration::from_millis);
    // So far ahead that it cannot be told: never.
    let expires = expires.and_then(|ttl| Instant::now().checked_add(ttl));
    let news = match (what, value) {
        (0, _) => News::Absent,
        (1, Value::BulkString(value)) => News::Value(value, expires),
        (3, _) => News::Unsaid,
        _ => News::Unusable,
    };
    Answer { news, at, not_added: failed != 0 }
}
