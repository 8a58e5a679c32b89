//! A message on its way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::connection::state::Shared;
use crate::error::DeliveryError;
use crate::receipt::Receipt;

/// A message on its way. Its output is the receipt, or what is known instead. Dropping it does not take the message back.
#[must_use = "only the awaited receipt says that the message is stored"]
pub struct PendingReceipt {
    /// Where the answer comes, or why there will be none.
    answers: Result<Arc<Shared>, DeliveryError>,
    sequence: u64,
    taken: bool,
}

impl PendingReceipt {
    pub(crate) fn of(shared: &Arc<Shared>, sequence: u64) -> Self {
        PendingReceipt {
            answers: Ok(Arc::clone(shared)),
            sequence,
            taken: false,
        }
    }

    /// Of a message that was not taken any more.
    #[cfg(feature = "outbox")]
    pub(crate) fn failed(error: DeliveryError) -> Self {
        PendingReceipt {
            answers: Err(error),
            sequence: 0,
            taken: false,
        }
    }

    /// The number that the producer gave the message.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Future for PendingReceipt {
    type Output = Result<Receipt, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &self.answers {
            Ok(shared) => shared.poll_answer(self.sequence, context.waker()),
            Err(error) => Poll::Ready(Err(error.clone())),
        };
        if answer.is_ready() {
            self.taken = true;
        }
        answer
    }
}

impl Drop for PendingReceipt {
    fn drop(&mut self) {
        if let Ok(shared) = &self.answers
            && !self.taken
        {
            shared.forget(self.sequence);
        }
    }
}

impl std::fmt::Debug for PendingReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingReceipt")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
