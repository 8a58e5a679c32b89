//! A server that went back: what it lacks is found out and written down, and nothing more goes there until somebody has
//! decided.

use tenfour_proto::ProducerId;
use tenfour_proto::native::ResumeState;
use tenfour_store::OutboxProducer;

use super::{Destination, Step, new_producer, probes};
use crate::error::{ConnectError, Regressed};
use crate::outbox::error::{DispatchError, lost};
use crate::outbox::resumed::Resumed;

impl Destination {
    /// The server went back: what was decided?
    pub(super) async fn decide(&mut self, producers: &[OutboxProducer]) -> Result<Step, DispatchError> {
        let Some((again, gone)) = self.with(|dispatch, id| dispatch.take_verdict(id)).await? else {
            return Err(lost(producers));
        };
        tracing::info!(server = %self.text, again, gone, "going on with a server that went back");
        self.checked = false;
        // What this start has sent so far is as old as the rest now.
        self.own = new_producer(self.own.sender);
        Ok(Step::Moved)
    }

    /// Another store answers, and nothing of this producer is missing there that has a receipt. `None`: nor of any other,
    /// and nothing is unknown; it is our store from here on.
    pub(super) async fn other_store(
        &mut self,
        producer: &OutboxProducer,
        now: [u8; 16],
    ) -> Result<Option<DispatchError>, DispatchError> {
        // Where those without an answer are, nobody knows.
        let unknown = producer
            .is_unsettled()
            .then_some((producer.id, producer.settled + 1));
        let missing: Vec<_> = unknown
            .into_iter()
            .chain(self.missing_beside(producer).await?)
            .collect();
        if missing.is_empty() {
            tracing::warn!(server = %self.text, "another store answers there now");
            self.with(move |dispatch, id| dispatch.accept_store(id, now))
                .await?;
            return Ok(None);
        }
        Ok(Some(self.note_lost(missing, now).await?))
    }

    /// Finds out of which producers the server lacks something, and writes it down.
    pub(super) async fn regressed(
        &mut self,
        producer: &OutboxProducer,
        regressed: Regressed,
    ) -> Result<DispatchError, DispatchError> {
        let mut missing = vec![(producer.id, producer.number(regressed.high_water_mark) + 1)];
        missing.extend(self.missing_beside(producer).await?);
        tracing::error!(server = %self.text, "{regressed}");
        self.note_lost(missing, regressed.now).await
    }

    /// What the server lacks of the other producers, from which numbers on.
    async fn missing_beside(
        &self,
        producer: &OutboxProducer,
    ) -> Result<Vec<(ProducerId, u64)>, DispatchError> {
        let producers = self.with(|dispatch, id| dispatch.producers(id)).await?;
        let config = self.config()?;
        let mut missing = Vec::new();
        let others =
            probes(&producers, config.identity.fingerprint()).filter(|other| other.id != producer.id);
        for other in others {
            let resume_state = ResumeState {
                end: Some(other.sequence(other.settled)),
                ..self.resume_state(other).await?
            };
            match Resumed::connect(&self.address, config.clone(), other.id, resume_state, []).await {
                Ok((client, _)) => client.close().await,
                Err(ConnectError::OtherStore { .. }) => {}
                Err(ConnectError::Regressed(it)) => {
                    missing.push((other.id, other.number(it.high_water_mark) + 1));
                    continue;
                }
                Err(error) => return Err(DispatchError::Connect(error)),
            }
            if producer.is_empty() || other.first < producer.first {
                // What is older is older than the copy that came back.
                break;
            }
        }
        Ok(missing)
    }

    async fn note_lost(
        &self,
        missing: Vec<(ProducerId, u64)>,
        now: [u8; 16],
    ) -> Result<DispatchError, DispatchError> {
        self.with(move |dispatch, id| dispatch.note_lost(id, &missing, now))
            .await?;
        let producers = self.with(|dispatch, id| dispatch.producers(id)).await?;
        Ok(lost(&producers))
    }
}
