//! Where rights are kept: in files of this user, or with a store in a database.

use std::path::Path;

use tenfour::identity::{Home, KeyList};

use crate::exit::Failure;
use crate::setup;
use crate::stores::is_database;

/// Who may do what.
#[derive(Clone, Debug)]
pub struct KeyLists {
    /// Keys and their rights.
    pub authorized_keys: KeyList,
    /// Hashes of tokens and their rights.
    pub tokens: KeyList,
    /// Invitations that are open.
    pub invitations: KeyList,
}

impl KeyLists {
    /// Files.
    pub fn of_home(home: &Home) -> Self {
        KeyLists {
            authorized_keys: home.authorized_keys().into(),
            tokens: home.tokens().into(),
            invitations: home.invitations().into(),
        }
    }

    /// Rows.
    #[cfg(feature = "postgres")]
    pub fn of_database(lists: &tenfour::store::postgres::KeyLists) -> Self {
        let [authorized_keys, tokens, invitations] = NAMES.map(|name| lists.list(name));
        KeyLists {
            authorized_keys,
            tokens,
            invitations,
        }
    }

    /// Those of whoever serves that store: what is no database has them in this user's files.
    pub fn of_store(store: Option<&Path>) -> Result<Self, Failure> {
        match store.filter(|store| is_database(store)) {
            #[cfg(feature = "postgres")]
            Some(url) => {
                let address = crate::stores::address(&url.to_string_lossy())?;
                Ok(Self::of_database(&tenfour::store::postgres::KeyLists::of(
                    &address,
                )))
            }
            #[cfg(not(feature = "postgres"))]
            Some(_) => Err(crate::stores::without()),
            None => Ok(Self::of_home(&setup::home()?)),
        }
    }

    /// All of them, with the names that they have everywhere.
    pub fn all(&self) -> [(&'static str, &KeyList); 3] {
        let [keys, tokens, invitations] = NAMES;
        [
            (keys, &self.authorized_keys),
            (tokens, &self.tokens),
            (invitations, &self.invitations),
        ]
    }
}

/// As the files are called, and the rows.
const NAMES: [&str; 3] = ["authorized_keys", "tokens", "invitations"];
