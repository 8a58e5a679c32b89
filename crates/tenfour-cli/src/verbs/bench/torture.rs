//! `tenfour bench --torture`: is every promise kept on this disk?
//!
//! A server of our own is killed again and again while clients send to it, and their connections are cut. In the end
//! what had receipts is compared with what is there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tenfour::client::random_id;
use tenfour::identity::{Identity, KnownHosts};
use tenfour::{Address, Client, ClientConfig, DeliveryError, MailboxName};
use tenfour_checker::{Breach, Found, History, Observation, Verdict, free_address};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::amount::grouped;
use crate::args::Bench;
use crate::exit::Failure;
use crate::output;
use crate::progress::progress_of_time;
use crate::remove_on_drop::RemoveOnDrop;

/// Clients that send, and messages that each has under way.
const CLIENTS: usize = 4;
const WINDOW: usize = 200;

/// From one blow to the next, in milliseconds: a random time between these.
const PAUSE: (u64, u64) = (30, 250);

/// Flushes that are measured.
const FLUSHES: usize = 300;

/// A disk that says in less time that it has flushed has not moved anything.
const TOO_GOOD: Duration = Duration::from_micros(15);

/// From a message to its receipt, over everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tortures a server whose store lies in a new folder below `folder`.
pub async fn run(arguments: &Bench, folder: &Path) -> Result<(), Failure> {
    if arguments.seconds.is_zero() {
        return Err(Failure::usage("--seconds is more than 0: nothing was tried"));
    }
    let place = folder.join(format!("tenfour-torture-{}", random_id()));
    fs::create_dir(&place).map_err(|error| cannot(&place, &error))?;
    let remove_on_drop = RemoveOnDrop::of(&place);
    let flush = flush_time(&place).map_err(|error| cannot(&place, &error))?;
    let (verdict, blows) = torture(arguments, &place).await?;
    report(arguments, &verdict, blows, flush);
    if verdict.is_clean() {
        return Ok(());
    }
    remove_on_drop.keep();
    Err(
        Failure::local(format!("a promise was broken: {verdict}")).hint(format!(
            "keep {}, and tell us: tenfour check {0}/store.db",
            place.display()
        )),
    )
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("cannot use `{}`: {error}", path.display()))
}

/// What one flush of one page takes: the median.
fn flush_time(place: &Path) -> io::Result<Duration> {
    let path = place.join("flush");
    let file = File::create(&path)?;
    file.set_len(0)?;
    file.write_all_at(&vec![0; 8192 * FLUSHES], 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(FLUSHES);
    for page in 0..FLUSHES {
        file.write_all_at(&[1; 8192], page as u64 * 8192)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times.get(FLUSHES / 2).copied().unwrap_or_default())
}

/// How often the server was killed, and connections were cut.
#[derive(Clone, Copy, Default)]
struct Blows {
    kills: u64,
    cuts: u64,
}

async fn torture(arguments: &Bench, place: &Path) -> Result<(Verdict, Blows), Failure> {
    let mut victim = Victim::start(place).await?;
    let identity =
        Identity::load_or_create(&place.join("identity.pem")).map_err(|error| Failure::caused(&error))?;
    let mut config = ClientConfig::new(identity, KnownHosts::default());
    config.timeout = PATIENCE;
    let relay = Relay::start(victim.address.clone()).await?;
    let history = Arc::new(Mutex::new(History::new()));
    let until = Instant::now() + arguments.seconds;
    let mut senders = Vec::new();
    for number in 0..CLIENTS {
        let client = Client::builder(relay.address.clone())
            .config(config.clone())
            .connect()
            .await
            .map_err(|error| Failure::caused(&error))?;
        let sender = send(
            client,
            number,
            mailbox(number)?,
            arguments.size,
            until,
            Arc::clone(&history),
        );
        senders.push(tokio::spawn(sender));
    }
    let progress = progress_of_time(arguments.seconds);
    let mut blows = Blows::default();
    while Instant::now() < until {
        let (least, most) = PAUSE;
        tokio::time::sleep(Duration::from_millis(least + draw() % (most - least))).await;
        if draw().is_multiple_of(3) {
            relay.cut();
            blows.cuts += 1;
        } else {
            victim.kill_and_restart().await?;
            blows.kills += 1;
        }
        let receipts = history.lock().unwrap_or_else(PoisonError::into_inner).receipted();
        progress.set_position((arguments.seconds.saturating_sub(until - Instant::now())).as_millis() as u64);
        progress.set_message(format!(
            "{} receipts, {} kills",
            grouped(receipts as f64),
            blows.kills
        ));
    }
    for sender in senders {
        sender
            .await
            .map_err(|_| Failure::local("a client of the torture panicked"))?;
    }
    progress.finish_and_clear();
    let mut found = Vec::new();
    for number in 0..CLIENTS.div_ceil(2) {
        found.extend(content(&victim.address, &config, mailbox(number)?).await?);
    }
    let verdict = history
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .check(found);
    Ok((verdict, blows))
}

/// Two share one, so that streams mix.
fn mailbox(number: usize) -> Result<MailboxName, Failure> {
    format!("torture/{}", number % CLIENTS.div_ceil(2))
        .parse()
        .map_err(|error| Failure::local(format!("{error}")))
}

/// Random enough to hit everything.
fn draw() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

async fn send(
    client: Client,
    number: usize,
    mailbox: MailboxName,
    size: u64,
    until: Instant,
    history: Arc<Mutex<History>>,
) {
    let stream = client.producer().to_string();
    let hear = |sequence: u64, outcome: Observation| {
        let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
        history.hear(&stream, sequence, outcome);
    };
    let mut pending = std::collections::VecDeque::new();
    let mut count = 0u64;
    loop {
        while Instant::now() < until && pending.len() < WINDOW {
            count += 1;
            let mut body = format!("{number} {count} ").into_bytes();
            body.resize(body.len().max(usize::try_from(size).unwrap_or(0)), b'.');
            // Noted before it can be answered.
            history.lock().unwrap_or_else(PoisonError::into_inner).send(
                &stream,
                count,
                mailbox.as_str(),
                &body,
            );
            match client.send(&mailbox, body).await {
                Ok(receipt) => pending.push_back((count, receipt)),
                Err(_) => hear(count, Observation::Unknown),
            }
        }
        let Some((sequence, sending)) = pending.pop_front() else {
            break;
        };
        match sending.await {
            Ok(receipt) => hear(
                sequence,
                Observation::Receipt {
                    mailbox: receipt.mailbox.to_string(),
                    offset: receipt.offset,
                },
            ),
            Err(DeliveryError::Refused(_)) => hear(sequence, Observation::NotStored),
            Err(_) => hear(sequence, Observation::Unknown),
        }
    }
    client.close().await;
}

async fn content(
    address: &Address,
    config: &ClientConfig,
    mailbox: MailboxName,
) -> Result<Vec<Found>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::caused(error);
    let client = Client::builder(address)
        .config(config.clone())
        .without_sending()
        .connect()
        .await
        .map_err(|error| failed(&error))?;
    let mut reader = client
        .reader(&mailbox)
        .open()
        .await
        .map_err(|error| failed(&error))?;
    let mut found = Vec::new();
    while let Some(item) = reader.try_next().await.map_err(|error| failed(&error))? {
        found.push(Found {
            mailbox: mailbox.to_string(),
            offset: item.offset,
            producer: item.producer.to_string(),
            sequence: item.sequence,
            body: item.message.body.to_vec(),
        });
    }
    Ok(found)
}

/// The server that is killed.
struct Victim {
    child: Child,
    place: PathBuf,
    address: Address,
}

impl Victim {
    async fn start(place: &Path) -> Result<Self, Failure> {
        // It comes back there again and again.
        let (child, address) = spawn(place, &free_address().to_string()).await?;
        Ok(Victim {
            child,
            place: place.to_owned(),
            address,
        })
    }

    async fn kill_and_restart(&mut self) -> Result<(), Failure> {
        // What has ended by itself is started again as well; its store tells the rest.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let address = self.address.to_string();
        (self.child, _) = spawn(&self.place, &address).await?;
        Ok(())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn spawn(place: &Path, native: &str) -> Result<(Child, Address), Failure> {
    let ports = place.join("ports");
    let _ = fs::remove_file(&ports);
    let failed = |error: io::Error| Failure::local(format!("cannot start a server: {error}"));
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args([
            "serve",
            "--quiet",
            "--text",
            "off",
            "--datagram",
            "off",
            "--native",
            native,
            "--port-file",
        ])
        .arg(&ports)
        .env("TENFOUR_HOME", place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(place.join("log")).map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    loop {
        if let Ok(listed) = fs::read_to_string(&ports) {
            let address = listed
                .trim()
                .strip_prefix("native ")
                .and_then(|text| text.parse().ok());
            return address
                .map(|address| (child, address))
                .ok_or_else(|| Failure::local("the server does not say where it listens"));
        }
        if let Some(status) = child.try_wait().map_err(failed)? {
            let log = fs::read_to_string(place.join("log")).unwrap_or_default();
            return Err(Failure::local(format!(
                "the server ended while it started, {status}: {log}"
            )));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Stands between, so that connections can be cut.
struct Relay {
    address: Address,
    epoch: watch::Sender<u64>,
}

impl Relay {
    async fn start(server: Address) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::local(format!("cannot listen: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (epoch, cuts) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (server, mut cuts) = (server.to_string(), cuts.clone());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    cuts.borrow_and_update();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Ok(Relay {
            address: Address::from_ip(address.ip(), address.port()),
            epoch,
        })
    }

    /// Ends every connection of now, in the middle of whatever it says.
    fn cut(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }
}

fn report(arguments: &Bench, verdict: &Verdict, blows: Blows, flush: Duration) {
    let suspicious = flush < TOO_GOOD;
    if arguments.json {
        let mut object = json!({
            "kills": blows.kills,
            "cuts": blows.cuts,
            "sent": verdict.sent,
            "receipted": verdict.receipted,
            "stored": verdict.stored,
            "flush_us": flush.as_micros() as u64,
            "flush_too_good": suspicious,
        });
        if let Some(object) = object.as_object_mut() {
            for breach in Breach::ALL {
                object.insert(breach.as_str().replace(' ', "_"), verdict.count(breach).into());
            }
        }
        output::answer_line(&object.to_string());
        return;
    }
    let mut rows = vec![
        ("server killed", blows.kills),
        ("connections cut", blows.cuts),
        ("sent", verdict.sent),
        ("receipted", verdict.receipted),
        ("stored", verdict.stored),
    ];
    rows.extend(Breach::ALL.map(|breach| (breach.as_str(), verdict.count(breach))));
    let mut table = Vec::new();
    for (name, number) in rows {
        // Writing to memory does not fail.
        let _ = writeln!(table, "{name:<18} {:>12}", grouped(number as f64));
    }
    let _ = writeln!(
        table,
        "{:<18} {:>12}",
        "one flush",
        format!("{} us", flush.as_micros())
    );
    output::answer(&table);
    if suspicious {
        output::talk(
            "warning: this disk says after a few microseconds that it has flushed. No disk can: it is memory, or a cache that\na power cut empties. What is lost by that no receipt can promise.",
        );
    }
}
