//! `tenfour_ask serve`: answers from memory with a library handler, prints its port, until stdin ends.
//! `tenfour_ask ask PORT SECONDS`: asks it, with the key of TENFOUR_HOME.

use std::time::Duration;

use tenfour::identity::{Home, Identity, KnownHosts};
use tenfour::server::{Listeners, ServerConfig};
use tenfour::store::MemoryStore;
use tenfour::{Client, Durability, HandlerError, Item, Reply, Server};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let identity = Identity::load_or_create(&Home::from_environment()?.identity())?;
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["serve"] => {
            // As `tenfour serve` does it.
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads((cores - 1).max(1))
                .enable_all()
                .build()?
                .block_on(serve(identity))
        }
        ["ask", port, seconds] => tokio::runtime::Runtime::new()?.block_on(ask(identity, port, seconds)),
        _ => Err("usage: tenfour_ask serve, or tenfour_ask ask PORT SECONDS".into()),
    }
}

async fn serve(identity: Identity) -> Result<(), Failure> {
    let mut listeners = Listeners::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    listeners.native.push(listener);
    let mut server = Server::new(Box::new(MemoryStore::default()), ServerConfig::new(identity))?;
    let handler = |item: Item| async move { Ok::<_, HandlerError>(Reply::new(item.message.body)) };
    server.handle("inbox", "handler", handler)?;
    let stop = async {
        let mut end = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut tokio::io::stdin(), &mut end).await;
    };
    server.run(listeners, stop).await?;
    Ok(())
}

async fn ask(identity: Identity, port: &str, seconds: &str) -> Result<(), Failure> {
    let client = Client::builder(format!("127.0.0.1:{port}"))
        .identity(identity)
        .known_hosts(KnownHosts::default())
        .durability(Durability::Memory)
        .timeout(Duration::from_secs(5))
        .connect()
        .await?;
    let times = bench_ask::ask(bench_ask::seconds(seconds), async || {
        let asked = client.ask("inbox", "what time is it over there?").await;
        let (_, reply) = asked.expect("a reply");
        assert_eq!(&reply.body[..], b"what time is it over there?");
    })
    .await;
    bench_ask::report(times);
    client.close().await;
    Ok(())
}
