//! `tenfour bench --outbox`: how fast an outbox takes messages, and how fast it is delivered.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tenfour::outbox::{Outbox, OutboxClient};
use tenfour::{Address, Client, ClientConfig, Message};

use super::load::{mailbox, noise};
use crate::amount::grouped;
use crate::args::Bench;
use crate::exit::{Code, Failure};
use crate::output;
use crate::remove_on_drop::RemoveOnDrop;
use crate::target::Target;

/// Messages that are delivered in one go: some seconds' worth.
const PILE: u64 = 400_000;

/// Messages put at once onto the pile.
const BATCH: u64 = 4_000;

/// Measures with an outbox at `path`, which is removed afterwards.
pub async fn run(
    arguments: &Bench,
    path: &Path,
    target: &Target,
    config: ClientConfig,
) -> Result<(), Failure> {
    if path.exists() {
        return Err(Failure::usage(format!("`{}` is there already", path.display()))
            .hint("name a file that is not there; it is removed afterwards"));
    }
    let _litter = RemoveOnDrop::beside(path, &["", "-wal", "-shm", ".lock"]);
    measure(arguments, path, target, config).await
}

async fn measure(
    arguments: &Bench,
    path: &Path,
    target: &Target,
    config: ClientConfig,
) -> Result<(), Failure> {
    // A server that is not there is said before anything is measured.
    Client::builder(&target.address)
        .config(config.clone())
        .connect()
        .await
        .map_err(|error| Failure::connect(&error, &target.to_string()))?
        .close()
        .await;
    let message = Message::new(mailbox(target, 0, 1)?, Bytes::from(noise(arguments.size)));
    let open = |address: &Address| {
        OutboxClient::open(path, address.clone(), config.clone()).map_err(|error| Failure::caused(&error))
    };
    let failed = |error: &dyn std::error::Error| Failure::caused(error);
    // Nobody is there, so nothing is delivered meanwhile.
    let nobody = Address::from_ip(std::net::Ipv4Addr::LOCALHOST.into(), 1);
    let client = open(&nobody)?;
    let alone = singly(&client, &message, arguments.seconds).await?;
    client.stop().await;
    let client = open(&target.address)?;
    let beside = singly(&client, &message, arguments.seconds).await?;
    flush(&client, arguments.timeout).await?;
    client.stop().await;
    // Many that wait.
    let mut outbox = Outbox::open(path).map_err(|error| failed(&error))?;
    let batch = vec![message; BATCH as usize];
    let started = Instant::now();
    for _ in 0..PILE / BATCH {
        outbox
            .put(&target.address.to_string(), &batch)
            .map_err(|error| failed(&error))?;
    }
    let piled = PILE as f64 / started.elapsed().as_secs_f64();
    drop(outbox);
    let started = Instant::now();
    let client = open(&target.address)?;
    flush(&client, arguments.timeout).await?;
    let drained = PILE as f64 / started.elapsed().as_secs_f64();
    client.stop().await;
    if arguments.json {
        output::answer_line(
            &json!({
                "size": arguments.size,
                "queued_singly_per_second": alone,
                "queued_singly_beside_delivery_per_second": beside,
                "queued_in_batches_per_second": piled,
                "delivered_per_second": drained,
            })
            .to_string(),
        );
        return Ok(());
    }
    output::answer_line(&format!(
        "queued one at a time {} messages/s ({}/s while they are delivered), in batches of {} {}/s; delivered {}/s  ({} B)",
        grouped(alone),
        grouped(beside),
        grouped(BATCH as f64),
        grouped(piled),
        grouped(drained),
        arguments.size,
    ));
    Ok(())
}

/// Messages a second, one after the other, each on the disk before the next.
async fn singly(client: &OutboxClient, message: &Message, length: Duration) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < length {
        client
            .queue(message.clone())
            .await
            .map_err(|error| Failure::caused(&*error))?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

async fn flush(client: &OutboxClient, timeout: Duration) -> Result<(), Failure> {
    let words = match tokio::time::timeout(timeout, client.flush()).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => format!("not delivered: {error}"),
        Err(_) => match client.progress().error {
            Some(error) => format!("not delivered in time: {error}"),
            None => "not delivered in time".to_owned(),
        },
    };
    Err(Failure::new(Code::Unavailable, words))
}
