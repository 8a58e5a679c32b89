//! Asks a question and prints the reply.
//!
//! `cargo run -p tenfour --example ask -- HOST[:PORT] QUESTION`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::{Client, Durability};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ask HOST[:PORT] QUESTION".into());
    };
    let client = Client::builder(host)
        .durability(Durability::Memory)
        .connect()
        .await?;
    let (_receipt, reply) = client.ask("inbox", question).await?;
    print!("{}", String::from_utf8_lossy(&reply.body));
    client.close().await;
    Ok(())
}
