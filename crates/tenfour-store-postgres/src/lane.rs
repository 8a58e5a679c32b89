//! The lane of a server: it says which of its commits have happened, and lets only one process be that server.

use std::time::Instant;

use futures_util::try_join;

use crate::address::Address;
use crate::durability::{Demand, Settings};
use crate::error::Trouble;
use crate::session::Session;
use crate::sql::settings;

/// The first of every transaction: nobody else commits by this lane meanwhile, and the settings are those of now.
pub(crate) const LOCK: &str = concat!(
    "SELECT ",
    settings!(),
    " FROM lane WHERE id = $1 AND epoch = $2 FOR NO KEY UPDATE"
);

/// The last of every transaction: it has happened if this is there. It also makes each commit write something, so that each
/// waits for its replication, and for that of all that was visible to it.
pub(crate) const DONE: &str = "INSERT INTO done(lane, number) VALUES ($1, $2)";

/// A server is seen this often.
pub(crate) const SEEN: std::time::Duration = std::time::Duration::from_secs(5);

/// Says that the server is there.
pub(crate) const BE_SEEN: &str = "UPDATE lane SET seen = now() WHERE id = $1";

/// A session that reads what a server of that lane may tell. What is visible may not be replicated yet: a write of our own,
/// which is, comes first.
pub(crate) fn connect(address: &Address, lane: i64, statements: &[&'static str]) -> Result<Session, Trouble> {
    let session = Session::connect(address, 0, statements)?;
    session.run(see(&session, lane))?;
    Ok(session)
}

/// A write that is replicated when it is done, and with it all that is visible.
pub(crate) async fn see(session: &Session, lane: i64) -> Result<(), Trouble> {
    session.begin().await?;
    session.client().execute(BE_SEEN, &[&lane]).await?;
    session.commit().await
}

/// A place among those that write.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) id: i64,
    pub(crate) token: [u8; 16],
    /// Of this connection.
    pub(crate) epoch: i64,
    /// The last commit that has happened.
    pub(crate) number: i64,
    pub(crate) seen: Instant,
}

impl Lane {
    /// A new one.
    pub(crate) fn take(session: &Session, name: &str, demand: Demand) -> Result<Self, Trouble> {
        let mut token = [0; 16];
        getrandom::fill(&mut token).map_err(|error| Trouble::Failed(error.to_string().into()))?;
        let software = concat!("tenfour ", env!("CARGO_PKG_VERSION"));
        let id = session.run(async {
            session.begin().await?;
            let row = session
                .client()
                .query_one(
                    "INSERT INTO lane(token, epoch, since, seen, name, software, promise)
                     VALUES ($1, 1, now(), now(), $2, $3, $4) RETURNING id",
                    &[&&token[..], &name, &software, &demand.as_str()],
                )
                .await?;
            session.commit().await?;
            Ok(row.try_get(0)?)
        })?;
        Ok(Lane {
            id,
            token,
            epoch: 1,
            number: 0,
            seen: Instant::now(),
        })
    }

    /// Begins a transaction of this lane, if the database does what is demanded of it; what is polled after it is sent after it.
    pub(crate) async fn begin(&self, session: &Session, demand: Option<Demand>) -> Result<(), Trouble> {
        let lock = async {
            let row = session
                .client()
                .query_opt(session.statement(LOCK)?, &[&self.id, &self.epoch])
                .await?;
            row.map(|row| Settings::of(&row))
                .transpose()
                .map_err(Trouble::from)
        };
        let ((), settings) = try_join!(session.begin(), lock)?;
        let Some(settings) = settings else {
            return Err(Trouble::Fenced);
        };
        let lacks = demand.and_then(|demand| settings.lacks(demand));
        lacks.map_or(Ok(()), |why| Err(Trouble::Unsafe(why)))
    }

    /// Ends the lanes of servers that are gone, within the transaction of now. False: one of them was seen just now.
    pub(crate) async fn end_others(&self, session: &Session) -> Result<bool, Trouble> {
        let gone = "DELETE FROM lane WHERE id <> $1 AND seen < now() - interval '15 seconds'";
        session.client().execute(gone, &[&self.id]).await?;
        let others = "SELECT 1 FROM lane WHERE id <> $1 LIMIT 1";
        Ok(session.client().query_opt(others, &[&self.id]).await?.is_none())
    }

    /// Ends it.
    pub(crate) async fn end(&self, session: &Session) -> Result<(), Trouble> {
        let number = self.number + 1;
        let done = async {
            let statement = session.statement(DONE)?;
            session.client().execute(statement, &[&self.id, &number]).await?;
            Ok(())
        };
        try_join!(done, session.commit())?;
        Ok(())
    }
}
