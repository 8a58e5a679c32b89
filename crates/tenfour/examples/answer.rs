//! A server whose messages are handled by a function, until Ctrl-C: it counts the words of each question.
//!
//! `cargo run -p tenfour --features server --example answer`, then `tenfour ask localhost --durability memory "how many words?"`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::identity::{Home, Identity};
use tenfour::server::{Listeners, Server, ServerConfig};
use tenfour::{HandlerError, Item, Reply, store::MemoryStore};

async fn count_words(item: Item) -> Result<Reply, HandlerError> {
    // An error here means: try again later. A reply with a code means: that was the answer.
    let text = std::str::from_utf8(&item.message.body)?;
    Ok(match text.split_whitespace().count() {
        0 => Reply::new("no words\n").with_code(1),
        count => Reply::new(format!("{count}\n")),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:50545".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut listeners = Listeners::default();
    listeners.native.push(listener);

    // The user's own key, so that the command `tenfour` is let in.
    let identity = Identity::load_or_create(&Home::from_environment()?.identity())?;
    let mut server = Server::new(Box::new(MemoryStore::default()), ServerConfig::new(identity))?;
    server.handle("inbox", "counter", count_words)?;
    server
        .run(listeners, async { _ = tokio::signal::ctrl_c().await })
        .await?;
    Ok(())
}
