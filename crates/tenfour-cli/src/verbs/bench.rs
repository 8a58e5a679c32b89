//! `tenfour bench`: messages per second and latency against a server.

pub mod load;
mod outbox;
mod torture;

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use serde_json::json;
use tenfour::proto::limits;
use tenfour::{Client, ClientConfig, Durability, MailboxName, Message};

use crate::amount::grouped;
use crate::args::Bench;
use crate::exit::Failure;
use crate::progress::progress_of_time;
use crate::target::{Dialect, Target};
use crate::{output, setup, signals};
use load::{mailbox, noise};

/// Latencies are kept from 1 us to 10 minutes, with three digits.
const LONGEST_US: u64 = 600_000_000;

/// Loads the server, or only holds connections.
pub async fn run(arguments: Bench) -> Result<(), Failure> {
    if let Some(folder) = arguments.torture.clone() {
        if arguments.target.is_some() {
            return Err(Failure::usage(
                "--torture has a server of its own, so there is no target",
            ));
        }
        return tokio::select! {
            result = torture::run(&arguments, &folder) => result,
            code = signals::stop() => Err(Failure::new(code, "interrupted")),
        };
    }
    let target = arguments.target.clone().unwrap_or_else(Target::localhost);
    if target.dialect != Dialect::Native {
        return Err(Failure::usage("bench speaks to the native listener only"));
    }
    if arguments.size > u64::from(limits::CEILING_MAX_MESSAGE)
        || arguments.clients == 0
        || arguments.mailboxes == 0
    {
        return Err(Failure::usage(
            "--clients and --mailboxes are at least 1, --size is at most 16M",
        ));
    }
    let mut config = setup::client(&arguments.identity, arguments.timeout, Durability::Memory, None)?;
    config.window = arguments.window;
    if let Some(path) = arguments.outbox.clone() {
        return tokio::select! {
            result = outbox::run(&arguments, &path, &target, config) => result,
            code = signals::stop() => Err(Failure::new(code, "interrupted")),
        };
    }
    tokio::select! {
        result = work(arguments, target, config) => result,
        code = signals::stop() => Err(Failure::new(code, "interrupted")),
    }
}

async fn work(arguments: Bench, target: Target, config: ClientConfig) -> Result<(), Failure> {
    let count = arguments.idle.unwrap_or(arguments.clients);
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let client = Client::builder(&target.address)
            .config(config.clone())
            .connect()
            .await
            .map_err(|error| Failure::connect(&error, &target.to_string()))?;
        clients.push(client);
    }
    if arguments.idle.is_some() {
        output::line("ready")?;
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
        return Ok(());
    }
    let progress = progress_of_time(arguments.seconds);
    let answered = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut running = Vec::with_capacity(count);
    for (index, client) in clients.into_iter().enumerate() {
        let load = Load {
            client,
            mailbox: mailbox(&target, index % arguments.mailboxes, arguments.mailboxes)?,
            body: Bytes::from(noise(arguments.size)),
            window: arguments.window.max(1),
            until: started + arguments.seconds,
            pace: arguments
                .rate
                .map(|rate| Pace::new(started, rate as f64 / count as f64)),
            answered: Arc::clone(&answered),
        };
        running.push(tokio::spawn(load.run()));
    }
    let ticking = tick(&progress, &answered, started);
    let gathered = gather(running, &target);
    let (latencies, durability) = tokio::select! {
        gathered = gathered => gathered?,
        () = ticking => return Ok(()),
    };
    progress.finish_and_clear();
    report(&arguments, &latencies, durability, started.elapsed());
    Ok(())
}

/// When messages are due, at a given rate.
struct Pace {
    started: Instant,
    each: Duration,
    sent: u32,
}

impl Pace {
    fn new(started: Instant, rate: f64) -> Self {
        Pace {
            started,
            each: Duration::from_secs_f64(1.0 / rate),
            sent: 0,
        }
    }

    fn due(&self) -> Instant {
        self.started + self.each * self.sent
    }
}

/// One client under load.
struct Load {
    client: Client,
    mailbox: MailboxName,
    body: Bytes,
    window: usize,
    until: Instant,
    pace: Option<Pace>,
    answered: Arc<AtomicU64>,
}

impl Load {
    async fn run(mut self) -> Result<(Histogram<u64>, Durability), (tenfour::DeliveryError, String)> {
        let mut latencies = histogram();
        let mut durability = Durability::Replicated;
        let mut pending = VecDeque::with_capacity(self.window);
        loop {
            let now = Instant::now();
            let sending = now < self.until;
            while sending && pending.len() < self.window && self.is_due(now) {
                let message = Message::new(self.mailbox.clone(), self.body.clone());
                let sent = self.client.try_send_message(message);
                match sent.map_err(|error| (error, self.client.id().to_owned()))? {
                    Ok(receipt) => pending.push_back((now, receipt)),
                    // Large ones fill the window by their bytes.
                    Err(_) => break,
                }
            }
            let due = self.pace.as_ref().map(|pace| pace.due().min(self.until));
            let has_room = pending.len() < self.window;
            let Some((_, answer)) = pending.front_mut() else {
                match due.filter(|_| sending) {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => break,
                }
                continue;
            };
            let may_send = due.filter(|_| sending && has_room);
            let receipt = tokio::select! {
                receipt = answer => receipt,
                () = sleep_until(may_send) => continue,
            };
            let receipt = receipt.map_err(|error| (error, self.client.id().to_owned()))?;
            let Some((sent, _)) = pending.pop_front() else {
                break;
            };
            durability = receipt.durability;
            latencies.saturating_record(micros(sent.elapsed()));
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        self.client.close().await;
        Ok((latencies, durability))
    }
}

impl Load {
    fn is_due(&mut self, now: Instant) -> bool {
        match &mut self.pace {
            None => true,
            Some(pace) if pace.due() > now => false,
            Some(pace) => {
                pace.sent += 1;
                true
            }
        }
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are constants in order")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

type Measurement = Result<(Histogram<u64>, Durability), (tenfour::DeliveryError, String)>;

async fn gather(
    running: Vec<tokio::task::JoinHandle<Measurement>>,
    target: &Target,
) -> Result<(Histogram<u64>, Durability), Failure> {
    let mut all = histogram();
    let mut durability = Durability::Replicated;
    for load in running {
        let outcome = load
            .await
            .map_err(|_| Failure::local("a client of the bench panicked"))?;
        let failed = |(error, id): (_, String)| Failure::delivery(&error, &target.to_string(), &id, None);
        let (latencies, its) = outcome.map_err(failed)?;
        durability = durability.min(its);
        all += latencies;
    }
    Ok((all, durability))
}

/// Draws until it is dropped.
async fn tick(progress: &ProgressBar, answered: &AtomicU64, started: Instant) {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let elapsed = started.elapsed();
        let rate = answered.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
        progress.set_position(elapsed.as_millis() as u64);
        progress.set_message(format!("{} receipts/s", grouped(rate)));
    }
}

fn report(arguments: &Bench, latencies: &Histogram<u64>, durability: Durability, elapsed: Duration) {
    let messages = latencies.len();
    let rate = messages as f64 / elapsed.as_secs_f64();
    let bytes = rate * arguments.size as f64;
    let at = |quantile| latencies.value_at_quantile(quantile);
    if arguments.json {
        output::answer_line(
            &json!({
                "messages": messages,
                "seconds": elapsed.as_secs_f64(),
                "clients": arguments.clients,
                "window": arguments.window,
                "size": arguments.size,
                "mailboxes": arguments.mailboxes,
                "durability": durability.as_str(),
                "messages_per_second": rate,
                "bytes_per_second": bytes,
                "latency_us": {
                    "p50": at(0.5),
                    "p90": at(0.9),
                    "p99": at(0.99),
                    "p99_9": at(0.999),
                    "max": latencies.max(),
                },
            })
            .to_string(),
        );
        return;
    }
    let milliseconds = |quantile| at(quantile) as f64 / 1000.0;
    output::answer_line(&format!(
        "{} messages/s  {:.1} MB/s  durability {durability}  ({} clients, window {}, {} B)",
        grouped(rate),
        bytes / 1e6,
        arguments.clients,
        arguments.window,
        arguments.size,
    ));
    output::answer_line(&format!(
        "latency ms: p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2}",
        milliseconds(0.5),
        milliseconds(0.9),
        milliseconds(0.99),
        milliseconds(0.999),
        latencies.max() as f64 / 1000.0,
    ));
}
