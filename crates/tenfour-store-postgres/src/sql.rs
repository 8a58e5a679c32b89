//! Pieces that stand in several statements.

/// The highest offset of a row of `mailbox`. A commit does not write it down: it is the end of the last pack, and only who
/// deletes messages has to remember it.
macro_rules! last_offset {
    () => {
        "greatest(gone, coalesce((SELECT last FROM pack WHERE mailbox = mailbox.id ORDER BY last DESC LIMIT 1), 0))"
    };
}

/// What a pack is read from, in the order of [`Stored`](crate::pack::Stored).
macro_rules! pack_columns {
    () => {
        "last, count, time, streams, sequences, sums, bodies, sources, types, names, asks, origins"
    };
}

/// What a receipt depends on, in the order of [`Settings`](crate::durability::Settings).
macro_rules! settings {
    () => {
        "current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_standby_names')"
    };
}

pub(crate) use {last_offset, pack_columns, settings};
