//! Rights in the database: whoever is let in by one server is by all.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenfour_identity::{KeyList, KeyListStorage, Stamp};

use crate::address::Address;
use crate::error::Trouble;
use crate::session::Session;

/// A server looks whether a list was changed so often.
const LOOK: Duration = Duration::from_millis(500);

/// What is new of those that are known in some version.
const NEWER: &str = "SELECT access.name, content, access.version FROM access
    LEFT JOIN unnest($1::text[], $2::bigint[]) AS known(name, version) USING (name)
    WHERE access.version IS DISTINCT FROM known.version";

/// The lists of keys that are kept with a store: `authorized_keys`, `tokens` and `invitations`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyLists {
    address: Address,
    /// What a server knows of them, which its writer looks after; `None` for whoever only changes them.
    known: Option<Known>,
}

/// The lists as they were at the last look, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<Looked>>);

#[derive(Debug, Default)]
struct Looked {
    lists: HashMap<String, (i64, String)>,
    at: Option<Instant>,
}

impl Known {
    fn get(&self, name: &str) -> (i64, String) {
        let looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looked.lists.get(name).cloned().unwrap_or_default()
    }

    /// Takes over a list, unless a later version of it is known.
    fn set(&self, name: String, version: i64, content: String) {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = looked.lists.entry(name).or_default();
        if version > known.0 {
            *known = (version, content);
        }
    }

    /// It is time to look.
    pub(crate) fn is_due(&self) -> bool {
        let looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looked.at.is_none_or(|at| at.elapsed() >= LOOK)
    }

    /// Reads what was changed since the last look.
    pub(crate) fn look(&self, session: &Session) -> Result<(), Trouble> {
        let (names, versions): (Vec<String>, Vec<i64>) = {
            let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            looked.at = Some(Instant::now());
            let known = looked.lists.iter();
            known.map(|(name, (version, _))| (name.clone(), *version)).unzip()
        };
        let newer = session.run(async { Ok(session.client().query(NEWER, &[&names, &versions]).await?) })?;
        for row in newer {
            self.set(row.try_get(0)?, row.try_get(2)?, row.try_get(1)?);
        }
        Ok(())
    }
}

impl KeyLists {
    /// Those of a store, to be changed by whoever operates it. They wait for the database: not to be used where tasks run.
    pub fn of(address: &Address) -> Self {
        KeyLists {
            address: address.clone(),
            known: None,
        }
    }

    /// Those of a server.
    pub(crate) fn known(address: &Address, known: Known) -> Self {
        KeyLists {
            address: address.clone(),
            known: Some(known),
        }
    }

    /// One of them, by the name of the file that it would be elsewhere.
    pub fn list(&self, name: &'static str) -> KeyList {
        KeyList::new(DatabaseList {
            lists: self.clone(),
            name,
        })
    }
}

struct DatabaseList {
    lists: KeyLists,
    name: &'static str,
}

impl DatabaseList {
    /// On the first host that has all others follow it.
    fn connected<T>(&self, mut work: impl FnMut(&Session) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut behind = 0;
        loop {
            let done = Session::connect(&self.lists.address, behind, &[]).and_then(|session| {
                let done = work(&session)?;
                self.lists.address.is_primary(session.host());
                Ok(done)
            });
            match done {
                // A primary that lives and has no standby any more connects, and takes no write.
                Err(Trouble::Lost(_)) if behind + 1 < self.lists.address.hosts().len() => behind += 1,
                done => return done,
            }
        }
    }

    /// Changes it within one transaction. Gives its version and content if it was changed.
    fn change(
        &self,
        session: &Session,
        change: &mut dyn FnMut(&str) -> io::Result<String>,
    ) -> Result<io::Result<Option<(i64, String)>>, Trouble> {
        let client = session.client();
        let (version, before) = session.run(async {
            session.begin().await?;
            let made =
                "INSERT INTO access(name, content, version) VALUES ($1, '', 0) ON CONFLICT (name) DO NOTHING";
            client.execute(made, &[&self.name]).await?;
            let locked = "SELECT version, content FROM access WHERE name = $1 FOR UPDATE";
            let row = client.query_one(locked, &[&self.name]).await?;
            Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, String>(1)?))
        })?;
        // What is not committed goes with the session.
        let after = match change(&before) {
            Ok(after) if after == before => return Ok(Ok(None)),
            Ok(after) => after,
            Err(error) => return Ok(Err(error)),
        };
        session.run(async {
            let written = "UPDATE access SET version = version + 1, content = $2 WHERE name = $1";
            client.execute(written, &[&self.name, &after]).await?;
            session.commit().await
        })?;
        Ok(Ok(Some((version + 1, after))))
    }
}

impl KeyListStorage for DatabaseList {
    fn place(&self) -> String {
        format!("{} of {}", self.name, self.lists.address)
    }

    fn stamp(&self) -> Option<Stamp> {
        let known = self.lists.known.as_ref()?;
        Some(Stamp::Version(known.get(self.name).0))
    }

    fn read(&self) -> io::Result<String> {
        if let Some(known) = &self.lists.known {
            return Ok(known.get(self.name).1);
        }
        let read = self.connected(|session| {
            session.run(async {
                let sql = "SELECT content FROM access WHERE name = $1";
                let row = session.client().query_opt(sql, &[&self.name]).await?;
                Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
            })
        });
        read.map_err(failed)
    }

    fn edit(&self, change: &mut dyn FnMut(&str) -> io::Result<String>) -> io::Result<bool> {
        let changed = self
            .connected(|session| self.change(session, change))
            .map_err(failed)??;
        let Some((version, content)) = changed else {
            return Ok(false);
        };
        if let Some(known) = &self.lists.known {
            known.set(self.name.to_owned(), version, content);
        }
        Ok(true)
    }
}

fn failed(trouble: Trouble) -> io::Error {
    io::Error::other(trouble.text())
}
