//! What the verbs have in common that read from a server.

use std::time::Duration;

use tenfour::proto::Fingerprint;
use tenfour::{Client, ClientConfig, ConnectError, ReaderError};

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

/// A connection for reading.
pub async fn reading_client(target: &Target, config: ClientConfig) -> Result<Client, Failure> {
    let key = config.identity.fingerprint();
    let connected = connect(target, config).await;
    connected.map_err(|error| failure(&ReaderError::Connect(error), target, key))
}

/// A connection for whoever asks and does not send; `what` he wants to do there stands in the failure.
pub async fn asking_client(target: &Target, config: ClientConfig, what: &str) -> Result<Client, Failure> {
    let connected = connect(target, config).await;
    connected.map_err(|error| Failure::connect_to(what, &error, &target.to_string()))
}

async fn connect(target: &Target, config: ClientConfig) -> Result<Client, ConnectError> {
    let connecting = Client::builder(&target.address).config(config).without_sending();
    connecting.connect().await
}

/// Why reading with this key ended, in words.
pub fn failure(error: &ReaderError, target: &Target, key: Fingerprint) -> Failure {
    match error {
        ReaderError::Connect(error) => Failure::connect_to("read from", error, &target.to_string()),
        ReaderError::NotAllowed(mailbox) => Failure::new(Code::NotAllowed, error.to_string())
            .hint(format!("on the server: tenfour keys allow {key} read={mailbox}")),
        ReaderError::CutOff(_) => Failure::new(Code::NotAllowed, error.to_string())
            .hint("ask whoever runs the server; there: tenfour keys list"),
        ReaderError::Regressed { .. } => Failure::new(Code::Regressed, error.to_string())
            .hint("to read what is there now: start it again without an offset"),
        ReaderError::Lost(_) => Failure::new(Code::Unavailable, error.to_string()),
        _ => Failure::local(error.to_string()),
    }
}
