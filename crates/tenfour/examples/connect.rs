//! Connects with the keys of the command `tenfour`, and tells the state of the server.
//!
//! `cargo run -p tenfour --example connect -- HOST[:PORT]`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = std::env::args().nth(1).ok_or("usage: connect HOST[:PORT]")?;
    let client = Client::builder(host).without_sending().connect().await?;
    for row in client.status().await? {
        println!("{}", row.kind);
    }
    client.close().await;
    Ok(())
}
