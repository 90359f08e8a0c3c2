//! A session that goes on in another process: what is kept of it on the way, between two of its batches.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use howdah_decision::{Decision, PoolMode};
use serde::{Deserialize, Serialize};

use crate::limits::MAX_MOVED;
use crate::prepared::{Named, Prepared, Told, own_meaning};
use crate::session::Session;
use crate::{Guide, Parameters, Settings};

/// A session at rest. It has no server, so all that is known of it is here.
#[derive(Debug, Deserialize, Serialize)]
pub struct Moved {
    /// What the client asked for at start-up.
    startup: Settings,
    wanted: Settings,
    /// What the client knows.
    told: Parameters,
    statements: Vec<Statement>,
    /// Settings under which statements were prepared, each once.
    under: Vec<Settings>,
    occasions: u64,
}

/// A prepared statement of it. The unnamed one has no name.
#[derive(Debug, Deserialize, Serialize)]
struct Statement {
    name: Text,
    query: Text,
    types: Text,
    /// By its place in [`Moved::under`].
    under: Option<usize>,
    columns: Option<u128>,
    outdated: bool,
    #[serde(default)]
    discarded: bool,
}

/// Bytes that mostly are text, and are written as such then.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Utf8(text.to_owned()),
            Err(_) => Text::Bytes(bytes.to_vec()),
        }
    }
}

impl Text {
    fn bytes(&self) -> &[u8] {
        match self {
            Text::Utf8(text) => text.as_bytes(),
            Text::Bytes(bytes) => bytes,
        }
    }
}

impl<A: AsRef<Decision>> Session<A> {
    /// The session as another process can go on with it. None while something is under way, or something of it is on a
    /// server, or is more than [`MAX_MOVED`]. Whoever calls this sees to it that no bytes of the client are on their way.
    pub fn moved(&self) -> Option<Moved> {
        let on_server = self.pin.as_ref().is_some_and(|pin| *pin != crate::Pin::Mode);
        if !self.is_idle() || on_server || self.owed.is_some() || self.client_stream.0 > 0 {
            return None;
        }
        let unnamed = self.unnamed.iter().map(|named| (&b""[..], named));
        let named = self.statements.iter().map(|(name, named)| (&**name, named)).chain(unnamed);
        let mut size = self.carried.startup().size() + self.carried.wanted().size();
        let (mut under, mut places) = (Vec::new(), HashMap::new());
        let mut statements = Vec::new();
        for (name, named) in named {
            let Prepared { query, types, .. } = &*named.prepared;
            size += name.len() + query.len() + types.len();
            let place = named.under.as_ref().map(|settings| {
                *places.entry(Arc::as_ptr(settings)).or_insert_with(|| {
                    size += settings.size();
                    under.push(Settings::clone(settings));
                    under.len() - 1
                })
            });
            if size > MAX_MOVED {
                return None;
            }
            statements.push(Statement {
                name: name.into(),
                query: (&**query).into(),
                types: (&**types).into(),
                under: place,
                columns: named.told.get().map(|told| told.columns),
                outdated: named.outdated.get(),
                discarded: named.discarded.get(),
            });
        }
        Some(Moved {
            startup: Settings::clone(self.carried.startup()),
            wanted: Settings::clone(self.carried.wanted()),
            told: self.told.clone(),
            statements,
            under,
            occasions: self.occasions,
        })
    }

    /// The session goes on here, under the same `id`.
    pub fn resume<G: Guide<Answer = A>>(
        id: u64,
        mode: PoolMode,
        moved: Moved,
        guide: &mut G,
    ) -> Session<A> {
        let mut session = Session::new(id, mode, Arc::new(moved.startup), moved.told);
        session.carried.resume(Arc::new(moved.wanted));
        session.occasions = moved.occasions;
        session.edition = guide.edition();
        let under: Vec<_> = moved.under.into_iter().map(Arc::new).collect();
        for statement in moved.statements {
            let under = statement.under.and_then(|place| under.get(place)).cloned();
            session.define_again(&statement, under, guide);
        }
        session
    }

    /// Servers of this process have nothing yet that the client has prepared. What they will have is of this edition of the
    /// schema; the columns that the client knows are of an earlier one, so they are looked at once.
    fn define_again<G: Guide<Answer = A>>(
        &mut self,
        statement: &Statement,
        under: Option<Arc<Settings>>,
        guide: &mut G,
    ) {
        let prepared = guide.prepare(statement.query.bytes(), statement.types.bytes());
        let meaning = under.as_ref().map(|settings| settings.meaning()).unwrap_or_else(|| {
            // What it meant to the session alone is on no server any more.
            self.occasions += 1;
            own_meaning(self.id, self.occasions)
        });
        let named = Rc::new(Named {
            copy: prepared.id.where_it_means(meaning),
            has_name: !statement.name.bytes().is_empty(),
            prepared,
            under,
            since: Cell::new(self.edition),
            told: Cell::new(statement.columns.map(|columns| Told {
                columns,
                edition: 0,
                names: 0,
            })),
            outdated: Cell::new(statement.outdated),
            discarded: Cell::new(statement.discarded),
        });
        match statement.name.bytes() {
            b"" => self.unnamed = Some(named),
            name => drop(self.statements.insert(name.into(), named)),
        }
    }
}
