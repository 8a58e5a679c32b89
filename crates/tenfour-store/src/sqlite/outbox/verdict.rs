//! What somebody decided about messages that a server lacks.

/// What is to be done about messages that a server lacks although it gave receipts for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send those again that are still here.
    Resend,
    /// Go on without them.
    Forget,
}

impl Verdict {
    pub(super) fn to_row(self) -> i64 {
        match self {
            Verdict::Resend => 1,
            Verdict::Forget => 2,
        }
    }

    pub(super) fn of_row(row: i64) -> Option<Self> {
        [Verdict::Resend, Verdict::Forget]
            .into_iter()
            .find(|verdict| verdict.to_row() == row)
    }
}
