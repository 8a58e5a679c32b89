//! The outbox on this machine, and what is said when it cannot be had.

use tenfour::outbox::{Outbox, OutboxError};
use tenfour::store::OpenError;

use crate::args::Queue;
use crate::exit::Failure;
use crate::setup;

/// The outbox that was named, or the user's own.
pub(super) fn open(arguments: &Queue) -> Result<Outbox, Failure> {
    let path = match &arguments.outbox {
        Some(path) => path.clone(),
        None => setup::home()?.outbox(),
    };
    Outbox::open(path).map_err(|error| open_failure(&error))
}

pub(super) fn open_failure(error: &OpenError) -> Failure {
    let failure = Failure::caused(error);
    match error {
        OpenError::InUse { .. } => failure.hint("one process delivers from an outbox; it delivers this, too"),
        OpenError::Aliased { .. } => {
            failure.hint("its log would be lost or mixed up; use the folder, not the single file")
        }
        OpenError::Schema { .. } => failure.hint("it was not touched; move it away"),
        OpenError::NotOurs(path) => Failure::local(format!("`{}` is not a tenfour outbox", path.display()))
            .hint("it was not touched; name another file: --outbox PATH"),
        OpenError::ForeignLog { .. } => {
            failure.hint("its owner was killed; put its outbox back, or move it away")
        }
        OpenError::Newer { .. } => failure.hint("it was not touched; use the newer tenfour"),
        OpenError::Network { .. } => failure.hint("name a place on a local disk: --outbox PATH"),
        _ if error.is_full() => failure.hint("make room on that disk; nothing was lost"),
        _ => failure,
    }
}

pub(super) fn failed(error: &OutboxError) -> Failure {
    let failure = Failure::local(error.to_string());
    match error {
        OutboxError::Gone(_) => failure.hint("start it again: it works with the outbox that is there then"),
        OutboxError::Full => failure.hint("make room; nothing was queued"),
        OutboxError::Damaged { .. } => {
            failure.hint("tenfour queue TARGET --drop NUMBER goes on without it, if it has not left")
        }
        _ => failure,
    }
}
