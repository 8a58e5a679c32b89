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

/// Prints what is there, and with `-f` what comes.
pub async fn run(arguments: Tail) -> Result<(), Failure> {
    let target = arguments.target.clone().unwrap_or_else(Target::localhost);
    readable(&target, "tail")?;
    let from = match (arguments.last, arguments.from, &arguments.since) {
        (Some(count), _, _) => ReadFrom::Last(count),
        (_, Some(offset), _) => ReadFrom::Offset(offset),
        (_, _, Some(time)) => ReadFrom::Since(moment(time)?),
        _ => ReadFrom::Oldest,
    };
    let config = setup::client(&arguments.identity, arguments.timeout, Durability::Memory, None)?;
    let wait = deadline(arguments.until.wait);
    let mut received = 0;
    let work = async {
        let mailbox = target.mailbox_or(&MailboxName::inbox())?;
        let failed = |error: ReaderError| failure(&error, &target);
        let client = reading_client(&target, config).await?;
        let reader = client.reader(mailbox).from(from).follow(arguments.follow);
        let mut reader = reader.open().await.map_err(failed)?;
        let how = output::is_terminal(&std::io::stdout()).then_some(Escape::ForReading);
        while arguments.until.count.is_none_or(|count| received < count)
            && let Some(item) = reader.try_next().await.map_err(failed)?
        {
            received += 1;
            let mut line = match (arguments.json, how) {
                (true, _) => Record::of_item(&item).json().into_bytes(),
                (false, Some(how)) => escape(&item.message.body, how),
                (false, None) => item.message.body.to_vec(),
            };
            line.push(b'\n');
            output::data(&line)?;
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

/// A moment, or how long ago; in microseconds since 1970.
fn moment(text: &str) -> Result<i64, Failure> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_microsecond());
    }
    let ago = parse_time(text).map_err(|_| {
        Failure::usage(format!(
            "`{text}` is neither a moment like 2026-01-31T12:00:00Z nor a time like 10m"
        ))
    })?;
    Ok(jiff::Timestamp::now().as_microsecond() - i64::try_from(ago.as_micros()).unwrap_or(i64::MAX))
}
