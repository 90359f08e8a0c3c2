//! Sessions that go to another process, and those that come from one ([`crate::upgrade`]).
//!
//! The policies of the new process are asked as if the client had just come: class and priority are as they say now. A
//! session that they would not have, or have somewhere else, stays where it is; so does one for which there is no room.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use howdah_decision::PoolMode;
use howdah_session::{Buffers, Moved, Session};
use howdah_wire::Version;
use howdah_wire::backend::ErrorReport;
use serde::{Deserialize, Serialize};

use super::Ctx;
use super::admission::{Admitted, admit, may_come};
use super::client::{Guest, Opening};
use super::guide::SessionGuide;
use super::lease::Lessee;
use super::reception::Counted;
use super::seat::{Seated, Visitor};
use crate::frontend::{ClientHello, LoginMethod};
use crate::upstream::{Detached, Stream};

/// A session as it goes to another process.
#[derive(Deserialize, Serialize)]
pub(crate) struct Departure {
    /// The client's number goes on.
    id: u64,
    /// Where it came from, when, and what it said.
    address: Option<IpAddr>,
    came: SystemTime,
    user: String,
    database: String,
    parameters: Vec<(String, String)>,
    version: u32,
    /// Where policies have let it in.
    home: Home,
    application_name: String,
    explains: bool,
    /// It must see what it has written; a point in the history of its cluster at which that is there, if one is known.
    wrote: bool,
    token: Option<String>,
    /// The key by which its statements are cancelled.
    pub(crate) pid: u32,
    secret: Vec<u8>,
    session: Moved,
}

/// Where a session is at home.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Home {
    cluster: String,
    /// On servers.
    user: String,
    database: String,
    /// In session pooling.
    whole: bool,
}

impl Home {
    fn of(guide: &SessionGuide, lessee: &Lessee, mode: PoolMode) -> Home {
        Home {
            cluster: guide.who.cluster.clone(),
            user: lessee.user.clone(),
            database: lessee.database.clone(),
            whole: mode == PoolMode::Session,
        }
    }
}

/// A session that has come from another process.
pub struct Arrival {
    pub(super) number: u64,
    pub(super) departure: Box<Departure>,
    pub(super) socket: Detached,
}

impl Guest {
    /// Hands the session over to the other process. False: it stays. Then it is not tried again.
    pub(super) async fn leave(&mut self, client: &Stream) -> bool {
        let gone = match (self.ctx.shared.kin(), self.departure(), client.socket()) {
            (Some(kin), Some(departure), Ok(socket)) => kin.take(departure, socket).await,
            (_, None, _) => Err("something of it is on a server, or it is too large".to_owned()),
            (None, ..) => Err("the other process has ended".to_owned()),
            (.., Err(error)) => Err(error.to_string()),
        };
        // It has had its turn.
        self.turn = None;
        self.leaves = false;
        if let Err(why) = &gone {
            tracing::debug!(client = self.guide.id, why, "a session stays with this process");
        }
        gone.is_ok()
    }

    fn departure(&self) -> Option<Box<Departure>> {
        let Opening { hello, mode } = &*self.opening;
        let visitor = self.seat.visitor();
        let written = self.lessee.causality.as_ref().and_then(|causality| causality.written());
        Some(Box::new(Departure {
            id: self.guide.id,
            address: visitor.address,
            came: visitor.came,
            user: hello.user.clone(),
            database: hello.database.clone(),
            parameters: hello.parameters.clone(),
            version: hello.version.code(),
            home: Home::of(&self.guide, &self.lessee, *mode),
            application_name: self.guide.who.application_name.clone(),
            explains: self.guide.explaining.on(),
            wrote: written.is_some(),
            token: written.flatten().map(|token| token.to_string()),
            pid: self.place.pid(),
            secret: self.place.secret().to_vec(),
            session: self.session.moved()?,
        }))
    }
}

/// Serves a session that has come from another process, which is told whether it is taken.
pub(super) async fn arrive(ctx: Rc<Ctx>, arrival: Arrival) {
    let _counted = Counted(Rc::clone(&ctx));
    let Arrival { number, departure, socket } = arrival;
    let (id, config) = (departure.id, ctx.shared.config.load_full());
    let crowd = &ctx.shared.memory.crowd;
    let _caller = crowd.comes(departure.address);
    let member = crowd.join(&departure.user, &departure.database, &config);
    let resumed = match (&member, Stream::attach(socket)) {
        (Err(report), _) => Err(report.to_string()),
        (_, Err(error)) => Err(error.to_string()),
        (Ok(_), Ok(stream)) => {
            let guest = Box::pin(resume(&ctx, *departure)).await;
            guest.map(|guest| (Box::new(guest), stream)).map_err(|report| report.to_string())
        }
    };
    let answer = |taken| {
        if let Some(kin) = ctx.shared.kin() {
            kin.answer(number, taken);
        }
    };
    match resumed {
        Ok((mut guest, mut stream)) => {
            answer(Ok(()));
            tracing::debug!(client = id, "client has come from the process before this one");
            guest.see_off(&mut stream).await;
        }
        Err(why) => {
            answer(Err(why));
            ctx.policies.closed(&ctx.policies.chain(id), id);
        }
    }
}

/// The session as it was.
async fn resume(ctx: &Rc<Ctx>, departure: Departure) -> Result<Guest, ErrorReport> {
    may_come(ctx)?;
    let Departure { id, address, came, user, database, parameters, version, home, .. } = departure;
    let version = Version::from_code(version);
    let (input, output) = (BytesMut::new(), BytesMut::new());
    // How the client has proven who it is was counted where it came in.
    let method = LoginMethod::Trust;
    let replication = None;
    let hello =
        ClientHello { user, database, parameters, replication, version, method, input, output };
    let visitor = Visitor { id, address, encrypted: false, replicates: false, came };
    let admitted = admit(ctx, visitor, &hello).await.map_err(|refused| refused.report)?;
    if Home::of(&admitted.guide, &admitted.lessee, admitted.mode) != home {
        let message = "policies or the configuration would have it elsewhere, or pooled otherwise";
        return Err(ErrorReport::fatal(b"0A000", message));
    }
    let Admitted { mut guide, mut lessee, mode, visitor, .. } = admitted;
    Arc::make_mut(&mut guide.who).application_name = departure.application_name;
    guide.explaining.set(departure.explains);
    if departure.wrote {
        match departure.token.and_then(|token| token.parse().ok()) {
            Some(token) => lessee.follow(token),
            None => lessee.wrote(),
        }
    }
    let pool = lessee.pool_settings();
    let session = Session::resume(id, mode, departure.session, &mut guide)
        .discarding(pool.reset_always)
        .preparing_unnamed(pool.prepare_unnamed);
    let place = ctx.slots.admit(departure.pid, departure.secret.into());
    let seat = Seated::new(ctx, visitor, &guide.who);
    let opening = Opening { hello, mode };
    Ok(Guest::seated(seat, session, guide, lessee, place, opening, Buffers::default()))
}
