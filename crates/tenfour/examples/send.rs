//! Sends one message and prints its receipt, with the keys of the command `tenfour`.
//!
//! `cargo run -p tenfour --example send -- HOST[:PORT] TEXT`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::{Client, Durability};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: send HOST[:PORT] TEXT".into());
    };
    // Takes what the server offers; without it only a disk is good enough.
    let client = Client::builder(host)
        .durability(Durability::Memory)
        .connect()
        .await?;
    let receipt = client.send("inbox", text).await?.await?;
    println!(
        "stored in {} at {} ({})",
        receipt.mailbox, receipt.offset, receipt.durability
    );
    client.close().await;
    Ok(())
}
