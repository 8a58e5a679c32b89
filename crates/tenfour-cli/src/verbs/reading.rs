//! What the verbs have in common that read from a server.

use std::time::Duration;

use tenfour::FollowError;

use crate::exit::{Code, Failure};
use crate::target::{Dialect, Target};

/// Only native targets can be read by a verb.
pub fn readable(target: &Target, verb: &str) -> Result<(), Failure> {
    if target.dialect == Dialect::Native {
        return Ok(());
    }
    Err(Failure::usage("only the native listener can be read")
        .hint(format!("tenfour {verb} {}", target.address.host_text())))
}

/// Fewer messages than were wanted are a result of their own.
pub fn enough(received: u64, wanted: Option<u64>) -> Result<(), Failure> {
    match wanted {
        Some(wanted) if received < wanted => {
            let text = format!("{received} of {wanted} messages came");
            Err(Failure::new(Code::TooFew, text))
        }
        _ => Ok(()),
    }
}

/// The end of `-W`; without it never.
pub async fn deadline(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Why reading ended, in words.
pub fn failure(error: &FollowError, target: &Target) -> Failure {
    match error {
        FollowError::Connect(error) => Failure::connect_to("read from", error, &target.to_string()),
        FollowError::NotAllowed(mailbox) => Failure::new(Code::NotAllowed, error.to_string()).hint(format!(
            "on the server: tenfour keys allow FINGERPRINT read={mailbox}"
        )),
        FollowError::CutOff(_) => Failure::new(Code::NotAllowed, error.to_string())
            .hint("ask whoever runs the server; there: tenfour keys list"),
        FollowError::Lost(_) => Failure::new(Code::Unavailable, error.to_string()),
        _ => Failure::local(error.to_string()),
    }
}
