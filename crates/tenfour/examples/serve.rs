//! A server that keeps nothing, until Ctrl-C. Its key is made for this run.
//!
//! `cargo run -p tenfour --features server --example serve`, then `nc 127.0.0.1 50544`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use tenfour::identity::Identity;
use tenfour::server::{Listeners, Server, ServerConfig};
use tenfour::store::MemoryStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:50544".to_owned());
    let mut listeners = Listeners::default();
    listeners.text.push(tokio::net::TcpListener::bind(address).await?);
    println!("listening on {}", listeners.text[0].local_addr()?);

    let config = ServerConfig::new(Identity::generate()?);
    let server = Server::new(Box::new(MemoryStore::default()), config)?;
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    server.run(listeners, stop).await?;
    Ok(())
}
