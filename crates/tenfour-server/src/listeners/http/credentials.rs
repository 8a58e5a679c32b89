//! Who asks, and what they may: by a token, or by coming from this machine.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use tenfour_proto::{Fingerprint, MailboxName, Sender, TokenName};

use super::header::one;
use super::problem::Problem;
use crate::admission::access::Access;
use crate::admission::connections::RegistryEntry;
use crate::broker::Payer;
use tenfour_identity::{Rights, hash_of_token};

/// Whoever is between us and the one who asks says so by one of these: such a request does not come from this machine,
/// whatever its address is.
const FORWARDED: [HeaderName; 8] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

#[derive(Clone, Debug)]
pub(super) enum Credentials {
    /// No token. May send to `inbox`, from this machine.
    Nobody { is_near: bool },
    /// The holder of a token.
    Holder {
        name: TokenName,
        token: Fingerprint,
        rights: Rights,
    },
}

impl Credentials {
    pub(super) fn of(
        access: &Access,
        is_open: bool,
        peer: SocketAddr,
        entry: &RegistryEntry,
        request: &Request,
    ) -> Result<Self, Problem> {
        let headers = request.headers();
        let Some(value) = one(headers, &header::AUTHORIZATION)? else {
            let is_near = peer.ip().to_canonical().is_loopback()
                && !FORWARDED.iter().any(|name| headers.contains_key(name));
            return Ok(Credentials::Nobody {
                is_near: is_near || is_open,
            });
        };
        // RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110).
        let secret = value
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim())
            .ok_or_else(|| Problem::unauthorized("`Authorization` wants to be `Bearer TOKEN`"))?;
        let token = hash_of_token(secret);
        match access.token(token, peer.ip()) {
            Some((name, rights)) => {
                entry.showed(&name);
                Ok(Credentials::Holder { name, token, rights })
            }
            None => Err(Problem::unauthorized(
                "this token is not known here, or not from this address, or its time is over",
            )),
        }
    }

    pub(super) fn may_send(&self, access: &Access, mailbox: &MailboxName) -> Result<(), Problem> {
        match self {
            Credentials::Holder { rights, .. } if rights.may_send(mailbox) => Ok(()),
            Credentials::Holder { name, .. } => Err(denied(
                name,
                &format!("send to `{mailbox}`"),
                &format!("send={mailbox}"),
            )),
            Credentials::Nobody { is_near: true } if access.anonymous_may_send(mailbox) => Ok(()),
            Credentials::Nobody { is_near: true } => Err(Problem::unauthorized(&format!(
                "without a token nobody may send to `{mailbox}`"
            ))),
            Credentials::Nobody { is_near: false } => Err(Problem::unauthorized(
                "without a token only programs on the server's own machine may send",
            )),
        }
    }

    pub(super) fn may_read(&self, mailbox: &MailboxName) -> Result<(), Problem> {
        let right = format!("read={mailbox}");
        self.may(
            |rights| rights.may_read(mailbox),
            &format!("read `{mailbox}`"),
            &right,
        )
    }

    /// The same at this moment, for whoever has waited.
    pub(super) fn may_still_read(
        &self,
        access: &Access,
        peer: SocketAddr,
        mailbox: &MailboxName,
    ) -> Result<(), Problem> {
        self.now(access, peer)?.may_read(mailbox)
    }

    /// The same as they are at this moment: a body may take longer to come than its token counts.
    pub(super) fn now(&self, access: &Access, peer: SocketAddr) -> Result<Self, Problem> {
        let Credentials::Holder { token, .. } = self else {
            return Ok(self.clone());
        };
        let (name, rights) = access
            .token(*token, peer.ip())
            .ok_or_else(|| Problem::unauthorized("this token is not known here any more"))?;
        Ok(Credentials::Holder {
            name,
            token: *token,
            rights,
        })
    }

    pub(super) fn may_see_status(&self) -> Result<(), Problem> {
        self.may(Rights::may_see_status, "see the status", "status")
    }

    fn may(&self, allows: impl Fn(&Rights) -> bool, what: &str, right: &str) -> Result<(), Problem> {
        match self {
            Credentials::Holder { rights, .. } if allows(rights) => Ok(()),
            Credentials::Holder { name, .. } => Err(denied(name, what, right)),
            Credentials::Nobody { .. } => Err(Problem::unauthorized(&format!("to {what} takes a token"))),
        }
    }

    pub(super) fn sender(&self) -> Sender {
        match self {
            Credentials::Holder { name, .. } => Sender::Token(name.clone()),
            Credentials::Nobody { .. } => Sender::Anonymous,
        }
    }

    /// Half of the memory is kept for those who are known.
    pub(super) fn payer(&self) -> Payer {
        match self {
            Credentials::Holder { .. } => Payer::Known,
            Credentials::Nobody { .. } => Payer::Stranger,
        }
    }
}

fn denied(name: &TokenName, what: &str, right: &str) -> Problem {
    let text = format!("the token `{name}` may not {what}; on the server: tenfour keys token NAME {right}");
    Problem::new(StatusCode::FORBIDDEN, "not-allowed", text)
}

impl Problem {
    /// Without a token, or with a wrong one.
    pub(super) fn unauthorized(reason: &str) -> Self {
        let text = format!("{reason}; on the server: tenfour keys token NAME send=... read=...");
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }
}
