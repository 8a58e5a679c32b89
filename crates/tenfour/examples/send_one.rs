//! Sends one message and prints its receipt, with the keys of the command `tenfour`.
//!
//! `cargo run -p tenfour --example send_one -- HOST[:PORT] TEXT`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::identity::{Home, Identity, KnownHosts};
use tenfour::{Client, ClientConfig, MailboxName, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: send_one HOST[:PORT] TEXT".into());
    };
    let home = Home::from_environment()?;
    let identity = Identity::load_or_create(&home.identity())?;
    let mut config = ClientConfig::new(identity, KnownHosts::load(&home.known_hosts())?);
    // Take what the server offers; say `disk` to insist.
    config.durability = tenfour::Durability::Memory;

    let client = Client::connect(&[host.parse()?], config).await?;
    let receipt = client.send(Message::new(MailboxName::inbox(), text)).await?;
    println!(
        "stored in {} at {} ({})",
        receipt.mailbox, receipt.offset, receipt.durability
    );
    client.close().await;
    Ok(())
}
