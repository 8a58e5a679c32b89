//! `jetstream_publish PORT,PORT,PORT CLIENTS WINDOW SIZE SECONDS`: publishes to a stream of three replicas, each message on its own,
//! with a window of unanswered ones for each client, and prints how many were answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use tokio::sync::Semaphore;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ports, clients, window, size, seconds] = &arguments[..] else {
        return Err("usage: jetstream_publish PORT,PORT,PORT CLIENTS WINDOW SIZE SECONDS".into());
    };
    let servers: Vec<String> = ports.split(',').map(|port| format!("127.0.0.1:{port}")).collect();
    let (clients, window): (usize, usize) = (clients.parse()?, window.parse()?);
    let body = bytes::Bytes::from(vec![b'x'; size.parse()?]);
    let first = jetstream::new(async_nats::connect(&servers[..]).await?);
    make_stream(&first).await?;
    let answered = Arc::new(AtomicU64::new(0));
    let mut publishing = Vec::new();
    for _ in 0..clients {
        let context = jetstream::new(async_nats::connect(&servers[..]).await?);
        let (body, answered) = (body.clone(), Arc::clone(&answered));
        publishing.push(tokio::spawn(publish(context, window, body, answered)));
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, begun) = (answered.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(bench_ask::seconds(seconds)).await;
    let count = answered.load(Ordering::Relaxed) - before;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    for task in publishing {
        if task.is_finished() {
            task.await??;
        }
    }
    println!("{{\"messages\": {count}, \"messages_per_second\": {rate:.0}}}");
    Ok(())
}

/// The servers may still be looking for each other.
async fn make_stream(context: &jetstream::Context) -> Result<(), Failure> {
    let config = stream::Config {
        name: "bench".to_owned(),
        subjects: vec!["bench".to_owned()],
        num_replicas: 3,
        storage: stream::StorageType::File,
        ..stream::Config::default()
    };
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match context.create_stream(config.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn publish(
    context: jetstream::Context,
    window: usize,
    body: bytes::Bytes,
    answered: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let places = Arc::new(Semaphore::new(window));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let answer = context.publish("bench", body.clone()).await?;
        let answered = Arc::clone(&answered);
        tokio::spawn(async move {
            if answer.await.is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            drop(place);
        });
    }
}
