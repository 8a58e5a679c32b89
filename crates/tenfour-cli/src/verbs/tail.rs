//! `tenfour tail`: looks at a mailbox.

use tenfour::identity::parse_time;
use tenfour::server::Record;
use tenfour::{Durability, MailboxName, ReadFrom, ReaderError};

use super::read_client::{deadline, enough, failure, readable, reading_client};
use crate::args::Tail;
use crate::escape::{Escape, escape};
use crate::exit::Failure;
use crate::target::Target;
use crate::{output, setup, signals};

/// Bytes that are printed together.
const TOGETHER: usize = 64 * 1024;

/// Prints what is there, and with `-f` what comes.
pub async fn run(arguments: Tail) -> Result<(), Failure> {
    let target = arguments.target.clone().unwrap_or_else(Target::localhost);
    readable(&target, "tail")?;
    let from = match (arguments.last, arguments.from, &arguments.since) {
        (Some(count), _, _) => ReadFrom::Last(count),
        (_, Some(offset), _) => ReadFrom::Offset(offset),
        (_, _, Some(time)) => since(time)?,
        _ => ReadFrom::Oldest,
    };
    let config = setup::client(&arguments.identity, arguments.timeout, Durability::Memory, None)?;
    let key = config.identity.fingerprint();
    let wait = deadline(arguments.until.wait);
    let mut received = 0;
    let work = async {
        let mailbox = target.mailbox_or(&MailboxName::inbox())?;
        let failed = |error: ReaderError| failure(&error, &target, key);
        let client = reading_client(&target, config).await?;
        let reader = client.reader(mailbox).from(from).follow(arguments.follow);
        let mut reader = reader.open().await.map_err(failed)?;
        let how = output::is_terminal(&std::io::stdout()).then_some(Escape::ForReading);
        let enough = |received| arguments.until.count.is_some_and(|count| received >= count);
        while !enough(received)
            && let Some(first) = reader.try_next().await.map_err(failed)?
        {
            // What has come already is printed with it.
            let mut lines = Vec::new();
            let mut next = Some(first);
            while let Some(item) = next {
                received += 1;
                match (arguments.json, how) {
                    (true, _) => lines.extend_from_slice(Record::of_item(&item).json().as_bytes()),
                    (false, Some(how)) => lines.extend_from_slice(&escape(&item.message.body, how)),
                    (false, None) => lines.extend_from_slice(&item.message.body),
                }
                lines.push(b'\n');
                let is_full = lines.len() >= TOGETHER || enough(received);
                next = (!is_full).then(|| reader.ready()).flatten();
            }
            output::data_beside(lines).await?;
        }
        Ok(())
    };
    let result = tokio::select! {
        result = work => result,
        code = signals::stop() => Err(Failure::new(code, "")),
        () = wait => Ok(()),
    };
    result?;
    enough(received, arguments.until.count)
}

/// A moment, or how long ago: by the clock of the server, which is the one that messages were stored by.
fn since(text: &str) -> Result<ReadFrom, Failure> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(ReadFrom::Since(moment.as_microsecond()));
    }
    let ago = parse_time(text).map_err(|_| {
        Failure::usage(format!(
            "`{text}` is neither a moment like 2026-01-31T12:00:00Z nor a time like 10m"
        ))
    })?;
    Ok(ReadFrom::Ago(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)))
}
