//! Who we are and whom we trust: keys, pins, rights. All in small text files.
//!
//! An identity is a key in a self-signed certificate. Nothing in the certificate counts but the key:
//! no authority, no name, no date. Servers are pinned in `known_hosts`, clients are listed with their
//! rights in `authorized_keys`, and an invitation writes both. What a server's lists say may also be kept elsewhere
//! ([`KeyListStorage`]), where many servers find it. Where no key can be shown, a token stands for one.
//!
//! What client and server share beside that is here too: TLS between two such keys, and the clock that drives the
//! machines of `tenfour-proto`. No listener, no store.

#![forbid(unsafe_code)]

mod authorized_keys;
#[doc(hidden)]
pub mod clock;
mod file_stamp;
mod home;
mod invitation;
mod key;
mod key_list;
mod known_hosts;
mod lock;
mod private_file;
mod rights;
mod time;
// For the crates of this project: it speaks in types of rustls, which change before ours do.
#[doc(hidden)]
pub mod tls;
mod tokens;

pub use authorized_keys::{AuthorizedKey, AuthorizedKeys};
pub use file_stamp::FileStamp;
pub use home::{Home, NoHome};
pub use invitation::{Invitation, InvitationError, Invitations, ParseInvitationError};
pub use key::{Identity, IdentityError};
pub use key_list::{KeyList, KeyListStorage, Stamp};
pub use known_hosts::{KnownHosts, Trust};
pub use lock::lock;
pub use rights::{Consume, ParseRightsError, Pattern, Rights};
pub use time::parse_time;
pub use tokens::{Token, hash as hash_of_token};
