//! A server that went back: what it lacks is found out and written down, and nothing more goes there until somebody has
//! decided.

use tenfour_proto::native::Past;
use tenfour_store::OutboxStream;

use super::{Route, Step, new_stream};
use crate::client::error::WentBack;
use crate::client::outbox::trouble::{Trouble, lost};
use crate::client::{Client, ConnectError};

impl Route {
    /// The server went back: what was decided?
    pub(super) async fn decide(&mut self, streams: &[OutboxStream]) -> Result<Step, Trouble> {
        let Some((again, gone)) = self.with(|dispatch, id| dispatch.take_verdict(id)).await? else {
            return Err(lost(streams));
        };
        tracing::info!(server = %self.text, again, gone, "going on with a server that went back");
        self.checked = false;
        // What this start has sent so far is as old as the rest now.
        self.own = new_stream(self.own.sender);
        Ok(Step::Moved)
    }

    /// Nothing is lost that there was a receipt for; where the rest is, nobody knows.
    pub(super) async fn other_store(
        &mut self,
        stream: &OutboxStream,
        now: [u8; 16],
    ) -> Result<Trouble, Trouble> {
        let unknown = [(stream.id, stream.settled + 1)];
        self.with(move |dispatch, id| dispatch.note_lost(id, &unknown, now))
            .await?;
        let streams = self.with(|dispatch, id| dispatch.streams(id)).await?;
        Ok(lost(&streams))
    }

    /// Finds out of which streams the server lacks something, and writes it down.
    pub(super) async fn went_back(
        &mut self,
        stream: &OutboxStream,
        went_back: WentBack,
    ) -> Result<Trouble, Trouble> {
        let mut streams = self.with(|dispatch, id| dispatch.streams(id)).await?;
        let mut missing = vec![(stream.id, stream.number(went_back.mark) + 1)];
        let config = self.config()?;
        for other in streams.iter().rev() {
            if other.id == stream.id
                || other.receipted < other.first
                || other.sender != config.identity.fingerprint()
            {
                continue;
            }
            let past = Past {
                end: Some(other.sequence(other.settled)),
                ..self.past(other).await?
            };
            let asked = Client::resume(&self.address, config.clone(), other.id, past, []).await;
            match asked {
                Ok((client, _)) => {
                    client.close().await;
                    if other.first < stream.first {
                        // What is older is older than the copy that came back.
                        break;
                    }
                }
                Err(ConnectError::WentBack(it)) => missing.push((other.id, other.number(it.mark) + 1)),
                Err(error) => return Err(Trouble::Connect(error)),
            }
        }
        for stream in &mut streams {
            stream.lost = missing.iter().find(|lost| lost.0 == stream.id).map(|lost| lost.1);
        }
        let now = went_back.now;
        self.with(move |dispatch, id| dispatch.note_lost(id, &missing, now))
            .await?;
        tracing::error!(server = %self.text, "{went_back}");
        Ok(lost(&streams))
    }
}
