//! Who gives messages out.

use tenfour_proto::{Item, Reply, Step};

/// What is there to be handled.
#[derive(Debug)]
pub enum Taken {
    /// These.
    Items(Vec<Item>),
    /// Nothing now.
    Nothing,
    /// Nothing, and there will be nothing.
    Drained,
}

/// Gives out the messages of a cursor.
pub trait Source: Send {
    /// Why nothing more is given out.
    type Error: Send;

    /// Messages that are there, at most so many. Does not wait for others.
    ///
    /// # Errors
    ///
    /// When nothing more will be given out.
    fn take(&mut self, most: usize) -> impl Future<Output = Result<Taken, Self::Error>> + Send;

    /// Waits until [`take`](Self::take) may say something else than nothing.
    fn more(&mut self) -> impl Future<Output = ()> + Send;

    /// Has it written down that somebody has begun with these. Gives those that are surely ours; the others come again.
    ///
    /// # Errors
    ///
    /// As for [`take`](Self::take).
    fn begin(&mut self, items: Vec<Item>) -> impl Future<Output = Result<Vec<Item>, Self::Error>> + Send;

    /// Says what became of a message.
    fn settle(&mut self, item: &Item, step: Step);

    /// Says that a message is done, and what the reply is.
    fn answer(&mut self, item: &Item, reply: Reply);
}
