//! Prints the messages of a mailbox, and those that come, until Ctrl-C.
//!
//! `cargo run -p tenfour --example follow -- HOST[:PORT] [MAILBOX]`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments.next().ok_or("usage: follow HOST[:PORT] [MAILBOX]")?;
    let mailbox = arguments.next().unwrap_or("inbox".to_owned());
    let client = Client::builder(host).without_sending().connect().await?;
    let mut reader = client.reader(mailbox).follow(true).open().await?;
    while let Some(item) = reader.try_next().await? {
        println!("{} {}", item.offset, String::from_utf8_lossy(&item.message.body));
    }
    Ok(())
}
