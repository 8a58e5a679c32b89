//! Which connection a read goes over: a connection has one read at a time.

use std::sync::Arc;

use tenfour_identity::clock::Clock;
use tenfour_proto::native::ReadRequest;
use tenfour_proto::{Address, Durability};

use super::driver::{self, Tries};
use super::read::Read;
use super::state::Shared;
use crate::config::{ClientConfig, options};
use crate::error::ReaderError;

/// Over the client's own connection, or over one more if that reads already. With a `window` it consumes, and passes
/// over the messages at the offsets `skip`.
pub(crate) async fn attach(
    shared: &Arc<Shared>,
    (address, config): (&Address, &ClientConfig),
    request: ReadRequest,
    window: u32,
    skip: &[u64],
) -> Result<Arc<Read>, ReaderError> {
    let begin = |request, wake| {
        let read = Read::new(request, window, wake);
        // Before anything is given out: what is to be passed over may be damaged, and end the read.
        skip.iter().for_each(|offset| drop(read.skip(*offset)));
        read
    };
    let read = begin(request.clone(), shared.wake.clone());
    if shared.attach(&read) {
        return Ok(read);
    }
    // Whoever reads demands nothing of the store.
    let config = ClientConfig {
        durability: Durability::Memory,
        ..config.clone()
    };
    let beside = Arc::new(Shared::new(options(&config, None, None), Clock::start(), &config));
    let read = begin(request, beside.wake.clone());
    beside.attach(&read);
    // It ends with its read.
    beside.finish();
    driver::start(beside, vec![address.clone()], config, Tries::UntilDeadline).await?;
    Ok(read)
}
