//! Answers the questions of a mailbox from any machine that may read it: it gives them back in capitals.
//!
//! `cargo run -p tenfour --example handle -- HOST[:PORT]`

use tenfour::{Client, HandlerError, Item, Reply};

async fn upper(item: Item) -> Result<Reply, HandlerError> {
    Ok(Reply::new(item.message.body.to_ascii_uppercase()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = std::env::args().nth(1).ok_or("usage: handle HOST[:PORT]")?;
    let client = Client::builder(host).without_sending().connect().await?;
    client.handle("inbox", "upper", upper).await?;
    Ok(())
}
