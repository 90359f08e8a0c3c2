//! The console of operators, by the PostgreSQL protocol: the database `howdah`. Sessions run on the control thread, so that
//! no client's query waits for them.

mod explain;
mod grammar;
mod order;
mod orders;
mod reference;
mod session;
pub(crate) mod show;
pub(crate) mod table;

use std::rc::Rc;

use howdah_wire::backend::ErrorReport;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_local;

use crate::config::{Config, Role};
pub(crate) use crate::control::Operated;
use crate::frontend::ClientHello;
use crate::upstream::{Detached, Stream};
pub(crate) use explain::route;
use grammar::Command;
pub(crate) use reference::reference;

/// The database that is none.
pub(crate) const DATABASE: &str = "howdah";
/// Most operators at once.
const MOST: usize = 64;

/// An operator who has logged in.
pub(crate) struct Visit {
    pub(crate) stream: Detached,
    pub(crate) hello: ClientHello,
    pub(crate) role: Role,
}

/// Where workers bring operators.
pub(crate) type Door = mpsc::UnboundedSender<Visit>;

/// Whether a client of this database is an operator rather than a client.
pub(crate) fn is_for(database: &str, config: &Config) -> bool {
    database == DATABASE && !config.admin.is_empty()
}

/// What a user may do here.
///
/// # Errors
/// Nothing.
pub(crate) fn role(user: &str, config: &Config) -> Result<Role, ErrorReport> {
    config.admin.role(user).ok_or_else(|| {
        let message = format!("permission denied for database \"{DATABASE}\"");
        ErrorReport::fatal(b"42501", &message)
            .detail(&format!("User \"{user}\" is neither an operator nor a viewer."))
            .hint("See [admin] in the configuration.")
    })
}

/// All tables by name, a line for each row.
pub(crate) async fn tables(operated: &Operated) -> Vec<(&'static str, String)> {
    let mut tables = Vec::new();
    for show in show::ALL {
        let table = show.table(operated).await;
        let line = |row: &table::Row| {
            row.iter().map(|value| value.text().unwrap_or_default()).collect::<Vec<_>>().join("\t")
        };
        tables.push((show.name, table.rows.iter().map(line).collect::<Vec<_>>().join("\n")));
    }
    tables
}

/// Whether somebody may give orders.
///
/// # Errors
/// No.
pub(crate) fn may_order(role: Role) -> Result<(), ErrorReport> {
    match role {
        Role::Operate => Ok(()),
        Role::View => {
            Err(ErrorReport::error(b"42501", "permission denied: only operators give orders")
                .hint("See [admin] in the configuration."))
        }
    }
}

/// Carries out one order, written as at the console, and says which it was.
///
/// # Errors
/// It is none, or cannot be carried out.
pub(crate) async fn order(text: &str, operated: &Operated) -> Result<&'static str, ErrorReport> {
    let one = || ErrorReport::error(b"42601", "expected one order").hint("Tables are not ordered.");
    match grammar::split(text)?.as_slice() {
        [pieces] => match grammar::understand(pieces)? {
            Command::Order(order) => orders::carry_out(&order, operated, &[]).await,
            _ => Err(one()),
        },
        _ => Err(one()),
    }
}

/// Receives operators until nobody can bring any more.
pub(crate) async fn serve(mut visits: mpsc::UnboundedReceiver<Visit>, operated: Operated) {
    let places = Rc::new(Semaphore::new(MOST));
    while let Some(Visit { stream, hello, role }) = visits.recv().await {
        let Ok(mut stream) = Stream::attach(stream) else { continue };
        let (operated, places) = (operated.clone(), Rc::clone(&places));
        spawn_local(async move {
            match places.try_acquire() {
                Ok(_place) => session::serve(&mut stream, hello, role, &operated).await,
                Err(_) => {
                    let report = ErrorReport::fatal(b"53300", "sorry, too many operators already");
                    session::say(&mut stream, hello.output, &report).await;
                }
            }
        });
    }
}
