//! How a source is written down.

use tenfour_proto::{Listener, Source};

/// A source as it is stored: nothing for the native listener, else `LISTENER` or `LISTENER ADDRESS`.
pub fn source_word(source: &Source) -> Option<String> {
    match (source.listener, source.address) {
        (Listener::Native, _) => None,
        (listener, None) => Some(listener.to_string()),
        (listener, Some(address)) => Some(format!("{listener} {address}")),
    }
}

/// The source that a stored word stands for.
pub fn source_of(word: Option<&str>) -> Option<Source> {
    let Some(word) = word else {
        return Some(Source {
            listener: Listener::Native,
            address: None,
        });
    };
    let (listener, address) = match word.split_once(' ') {
        Some((listener, address)) => (listener, Some(address.parse().ok()?)),
        None => (word, None),
    };
    Some(Source {
        listener: listener.parse().ok()?,
        address,
    })
}
