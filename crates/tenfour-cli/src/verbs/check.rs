//! `tenfour check`: is a store as it was written?

use tenfour::store::OpenError;

use crate::amount::{show_count, show_size};
use crate::args::Check;
use crate::escape::safe;
use crate::exit::Failure;
use crate::progress::progress;
use crate::stores::is_database;
use crate::{output, setup};

/// Prints what is wrong, one a line.
pub fn run(arguments: Check) -> Result<(), Failure> {
    let path = match arguments.store {
        Some(path) => path,
        None => setup::home()?.store(),
    };
    if is_database(&path) {
        return Err(Failure::usage("only stores in files are checked").hint(
            "a database checks itself: pg_amcheck; a message that is damaged is said so when it is read",
        ));
    }
    let progress = progress(None, "{spinner} {pos} messages");
    let found = |finding: &tenfour::store::Finding| {
        progress.suspend(|| output::answer_line(&safe(&finding.to_string())));
    };
    let checked = tenfour::store::check(&path, found, |messages| progress.set_position(messages));
    progress.finish_and_clear();
    let checked = checked.map_err(|error| failure(&error))?;
    let what = format!(
        "{} ({}) in {}, {}",
        show_count(checked.messages, "message"),
        show_size(checked.bytes),
        show_count(checked.mailboxes, "mailbox"),
        show_count(checked.producers, "stream"),
    );
    if checked.findings == 0 {
        output::talk(&format!("{what}: nothing is wrong"));
        return Ok(());
    }
    Err(Failure::local(format!("{what}: {}", show_count(checked.findings, "finding"))).hint(
        "keep a copy of the files; what is not named here is as it was stored, and can be read by tenfour tail",
    ))
}

fn failure(error: &OpenError) -> Failure {
    let failure = Failure::caused(error);
    match error {
        OpenError::Engine { .. } => {
            failure.hint("the file is damaged so far that it cannot be read; keep a copy of it")
        }
        OpenError::Io { .. } => failure.hint("tenfour check PATH"),
        _ => failure,
    }
}
