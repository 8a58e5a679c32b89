//! Prints the messages of a mailbox, and those that come, until Ctrl-C.
//!
//! `cargo run -p tenfour --example follow -- HOST[:PORT] [MAILBOX]`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::identity::{Home, Identity, KnownHosts};
use tenfour::{ClientConfig, Durability, Follower, ReadFrom};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments.next().ok_or("usage: follow HOST[:PORT] [MAILBOX]")?;
    let mailbox = arguments.next().unwrap_or("inbox".to_owned());
    let home = Home::from_environment()?;
    let identity = Identity::load_or_create(&home.identity())?;
    let mut config = ClientConfig::new(identity, KnownHosts::load(&home.known_hosts())?);
    config.durability = Durability::Memory;

    let mut follower =
        Follower::connect(&[host.parse()?], config, mailbox.parse()?, ReadFrom::Oldest, true).await?;
    while let Some(item) = follower.next().await? {
        println!("{} {}", item.offset, String::from_utf8_lossy(&item.message.body));
    }
    Ok(())
}
