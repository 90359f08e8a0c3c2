//! A SELECT whose comment has the tag `cap` gets a LIMIT, if it has none: an application caps what its reports may
//! return by `SELECT … /* cap='1000' */`.

use howdah_sdk::{Facts, Kind, Outcome, Remember, Rewrite, Rewritten, Statement, question};

/// Has no state and no settings.
#[derive(Default)]
pub struct RewriteTag;

/// Longest cap, in digits.
const MAX_DIGITS: usize = 9;

impl Rewrite for RewriteTag {
    fn rewrite(&mut self, statement: &Statement<'_>) -> Rewritten {
        let others = Facts::SEVERAL | Facts::LOCKS_ROWS | Facts::COPY;
        if statement.kind != Kind::Read || statement.facts.intersects(others) {
            return Outcome::Unchanged.remembered(Remember::Digest);
        }
        let outcome = match question::tag("cap") {
            Some(cap) => capped(statement.sql, &cap).map_or(Outcome::Unchanged, Outcome::Text),
            None => Outcome::Unchanged,
        };
        outcome.remembered(Remember::Text)
    }
}

/// The text with a LIMIT; none when it cannot simply be put behind.
fn capped(sql: &str, cap: &str) -> Option<String> {
    let digits =
        !cap.is_empty() && cap.len() <= MAX_DIGITS && cap.bytes().all(|b| b.is_ascii_digit());
    let text = sql.trim_end_matches([' ', '\t', '\r', '\n', ';']);
    let lower = text.to_ascii_lowercase();
    let simple = lower.starts_with("select")
        && !lower.contains("limit")
        && !lower.contains("fetch")
        && !lower.contains("--");
    (digits && simple).then(|| format!("{text} LIMIT {cap}"))
}

howdah_sdk::export!(RewriteTag: rewrite);

#[cfg(test)]
mod tests {
    use super::capped;

    #[test]
    fn a_limit_is_put_behind() {
        let text = capped("SELECT * FROM t /* cap='10' */;", "10");
        assert_eq!(text.as_deref(), Some("SELECT * FROM t /* cap='10' */ LIMIT 10"));
    }

    #[test]
    fn what_has_one_or_is_not_simple_stays() {
        for sql in ["SELECT 1 LIMIT 5", "select 1 fetch first row only", "SHOW x", "SELECT 1 -- x"]
        {
            assert_eq!(capped(sql, "10"), None, "{sql}");
        }
        for cap in ["", "ten", "-1", "1234567890"] {
            assert_eq!(capped("SELECT 1", cap), None, "{cap}");
        }
    }
}
