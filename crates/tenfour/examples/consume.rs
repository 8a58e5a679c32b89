//! Consumes a mailbox by a cursor that the server keeps: whoever starts it again goes on where this ended.
//!
//! `cargo run -p tenfour --example consume -- HOST[:PORT] [MAILBOX]`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments.next().ok_or("usage: consume HOST[:PORT] [MAILBOX]")?;
    let mailbox = arguments.next().unwrap_or("inbox".to_owned());
    let client = Client::builder(host).without_sending().connect().await?;
    let mut items = client.consumer(mailbox, "example").retries(5).open().await?;
    while let Some(delivery) = items.try_next().await? {
        println!(
            "{} {}",
            delivery.offset,
            String::from_utf8_lossy(&delivery.message.body)
        );
        // Dropped instead, it would come again.
        delivery.ack().await?;
    }
    Ok(())
}
