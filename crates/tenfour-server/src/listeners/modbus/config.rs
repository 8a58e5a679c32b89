//! Where writes go, and what input registers show.

use tenfour_proto::MailboxName;
use tokio::net::TcpListener;

/// Sockets for Modbus/TCP, and what is done with it.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ModbusListeners {
    /// In the clear: Modbus has no keys.
    pub sockets: Vec<TcpListener>,
    /// What is done with it.
    pub config: ModbusConfig,
}

/// What is done with Modbus.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModbusConfig {
    /// Where writes go: all of them here, or without it each unit's to `modbus/UNIT`.
    pub mailbox: Option<MailboxName>,
    /// The mailboxes that input registers show, in their order.
    pub watch: Vec<MailboxName>,
}

impl Default for ModbusConfig {
    /// Writes go to `modbus/UNIT`; `inbox` is shown.
    fn default() -> Self {
        ModbusConfig {
            mailbox: None,
            watch: vec![MailboxName::inbox()],
        }
    }
}
