//! One message, deposited and waited for.

use std::sync::Arc;

use tenfour_proto::native::ProducerKind;
use tenfour_proto::{Message, ProducerId, RefusalCode, Run, Sender, Source, TemporaryCode};
use tenfour_store::Batch;

use crate::broker::{Completion, Completions, Payer, memory_of};
use crate::context::Context;

/// Why there is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unstored {
    /// It never will be.
    Refused(RefusalCode),
    /// Not now.
    NotNow(TemporaryCode),
    /// The store failed: nobody knows.
    Failed,
}

/// Waits for the flush. Whoever gives up waiting does not take the message back.
pub(crate) async fn store(
    context: &Context,
    payer: &Payer,
    sender: Sender,
    producer: Option<ProducerId>,
    source: Source,
    message: Message,
) -> Result<Run, Unstored> {
    let charge = context.broker.budget().charge(payer, memory_of(&message));
    let batch = Batch {
        sender,
        producer: producer.map(|producer| (producer, ProducerKind::OneShot)),
        epoch: 0,
        source,
        messages: vec![(1, message)],
    };
    let completions = Arc::new(Completions::default());
    context.broker.deposit(batch, 1, charge, &completions);
    match completions.answers().await.pop() {
        Some(Completion::Settled(stored)) => {
            let settlement = stored.into_settlement();
            let refused = settlement.refused.first().map(|refused| refused.code);
            match (settlement.runs.into_iter().next(), refused) {
                (Some(run), _) => Ok(run),
                (None, Some(code)) => Err(Unstored::Refused(code)),
                (None, None) => Err(Unstored::Failed),
            }
        }
        Some(Completion::NotNow { code, .. }) => Err(Unstored::NotNow(code)),
        Some(Completion::TakenOver | Completion::Gone) | None => Err(Unstored::Failed),
    }
}
