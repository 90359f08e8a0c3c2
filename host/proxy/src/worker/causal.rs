//! `SET howdah.causal_token = '…'`: a session sees at least what another one has seen, wherever it reads.

use howdah_cluster::Token;
use howdah_decision::Refusal;
use howdah_sql::{Own, OwnVerb};

/// The setting. What it shows is asked of the primary, so SHOW does not come here.
pub(crate) const TOKEN: &str = "causal_token";

/// The point that a session is to follow.
pub(crate) fn token(own: &Own) -> Result<Token, Refusal> {
    let OwnVerb::Set(value) = &own.verb else {
        let message =
            format!("parameter \"howdah.{TOKEN}\" can only be set for the session, and shown");
        return Err(Refusal::new("0A000", &message));
    };
    let text = value.trim().trim_matches('\'');
    text.parse().map_err(|()| {
        let message = format!(
            "invalid value for parameter \"howdah.{TOKEN}\": expected what SHOW howdah.{TOKEN} gives"
        );
        Refusal::new("22023", &message)
    })
}
