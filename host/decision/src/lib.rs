//! Questions to policies and their verdicts as plain data: the mirror of `wit/`.
//!
//! Every room speaks these words; only `policy` knows how they reach a guest.

mod answer;
mod facts;
mod observation;
mod parameter;
mod retry;
mod session;
mod topology;
pub mod words;

pub use answer::{
    Decision, Demands, Otherwise, Refusal, Remember, Rewrite, RewriteVerdict, Table, Verdict,
};
pub use facts::{Facts, Kind};
pub use observation::{Observation, Source};
pub use parameter::Parameter;
pub use retry::{Again, Failure, Outcome, Retry, Safety, Target};
pub use session::{Admission, Client, PoolMode, SessionDecision};
pub use topology::{Node, Role};
