//! What was written last: the units that somebody asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tenfour_identity::lock;
use tenfour_proto::MailboxName;
use tokio::sync::OwnedMutexGuard;

use super::device::Device;
use super::fold::{Fold, WRITES};
use crate::reading::mailbox_reader::Broken;

/// All units that somebody has asked for.
pub(super) struct Units {
    pub(super) device: Device,
    folds: Mutex<HashMap<MailboxName, Arc<tokio::sync::Mutex<Fold>>>>,
    /// Writes to a unit since its registers were looked at.
    writes: Mutex<HashMap<u8, u64>>,
}

impl Units {
    /// Nothing is looked at before somebody asks.
    pub(super) fn new(device: Device) -> Self {
        Units {
            device,
            folds: Mutex::default(),
            writes: Mutex::default(),
        }
    }

    /// The units of a mailbox; this one with all that is stored by now.
    pub(super) async fn current(&self, number: u8) -> Result<OwnedMutexGuard<Fold>, Broken> {
        let mailbox = self.device.mailbox(number);
        let fold = Arc::clone(lock(&self.folds).entry(mailbox).or_default());
        let mut fold = fold.lock_owned().await;
        fold.catch_up(&self.device, number).await?;
        Ok(fold)
    }

    /// True when it is time to look at the registers.
    fn count_write(&self, number: u8) -> bool {
        let mut writes = lock(&self.writes);
        let count = writes.entry(number).or_default();
        *count += 1;
        if *count < WRITES {
            return false;
        }
        *count = 0;
        true
    }
}

/// A write is stored. Nobody may ever read registers; then they are folded now and then all the same.
pub(super) fn written(units: &Arc<Units>, number: u8) {
    if units.count_write(number) {
        let units = Arc::clone(units);
        tokio::spawn(async move {
            // What is wrong is in the log.
            let _ = units.current(number).await;
        });
    }
}
