//! Who we are and whom we trust: keys, pins, rights. All in small text files.
//!
//! An identity is a key in a self-signed certificate. Nothing in the certificate counts but the key:
//! no authority, no name, no date. Servers are pinned in `known_hosts`, clients are listed with their
//! rights in `authorized_keys`, and an invitation writes both. Where no key can be shown, a token stands for one.

mod authorized_keys;
mod home;
mod invitation;
mod key;
mod known_hosts;
mod private_file;
mod rights;
mod tokens;

pub use authorized_keys::{AuthorizedKey, AuthorizedKeys};
pub use home::{Home, NoHome};
pub use invitation::{Invitation, InvitationError, Invitations, ParseInvitationError};
pub(crate) use key::fingerprint_of;
pub use key::{Identity, IdentityError};
pub use known_hosts::{KnownHosts, Trust};
pub use rights::{ParseRightsError, Pattern, Rights};
pub use tokens::Token;
pub(crate) use tokens::hash as hash_of_token;
