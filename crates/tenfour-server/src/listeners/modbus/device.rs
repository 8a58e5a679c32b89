//! The device that a PLC talks to: its mailboxes, and the way to them.

use std::net::SocketAddr;
use std::sync::Arc;

use tenfour_proto::modbus::Exception;
use tenfour_proto::{ContentType, Listener, MailboxName, Message, Sender, Source};

use super::config::ModbusConfig;
use crate::broker::Payer;
use crate::context::Context;
use crate::listeners::publish_one::{self, Unstored};
use crate::reading::mailbox_reader::Broken;

/// One for all connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) context: Arc<Context>,
    pub(super) config: Arc<ModbusConfig>,
}

impl Device {
    /// Where the writes of a unit go.
    pub(super) fn mailbox(&self, unit: u8) -> MailboxName {
        match &self.config.mailbox {
            Some(one_for_all) => one_for_all.clone(),
            None => named(&format!("modbus/{unit}")),
        }
    }

    /// Where the registers of a unit are written down.
    pub(super) fn snapshots(unit: u8) -> MailboxName {
        named(&format!("modbus/{unit}/registers"))
    }

    /// Stores JSON that came by Modbus, or that is made of what did. Nobody has shown a key.
    pub(super) async fn deposit(
        &self,
        address: Option<SocketAddr>,
        mailbox: MailboxName,
        json: String,
    ) -> Result<(), Unstored> {
        let mut message = Message::new(mailbox, json);
        message.content_type = "application/json".parse::<ContentType>().ok();
        let source = Source {
            listener: Listener::Modbus,
            address,
        };
        let sender = Sender::Anonymous;
        publish_one::store(&self.context, &Payer::Stranger, sender, None, source, message).await?;
        Ok(())
    }
}

fn named(name: &str) -> MailboxName {
    // Made of letters, slashes and a number.
    name.parse().unwrap_or_else(|_| MailboxName::inbox())
}

impl From<Unstored> for Exception {
    fn from(unstored: Unstored) -> Self {
        match unstored {
            Unstored::NotNow(_) => Exception::ServerDeviceBusy,
            Unstored::Refused(_) | Unstored::Failed => Exception::ServerDeviceFailure,
        }
    }
}

impl From<Broken> for Exception {
    fn from(_: Broken) -> Self {
        Exception::ServerDeviceFailure
    }
}
