//! `tenfour backup`: the whole store of a server, as a file.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tenfour::Durability;
use tenfour::client::BackupError;
use tokio::io::BufWriter;

use super::read_client::{asking_client, readable};
use crate::amount::{show_count, show_size};
use crate::args::Backup;
use crate::exit::{Code, Failure};
use crate::new_file::{give_durable_name, name_beside};
use crate::progress::progress;
use crate::remove_on_drop::RemoveOnDrop;
use crate::target::Target;
use crate::{output, setup, signals};

/// Fetches beside the file, and gives it its name when it is whole and on the disk.
pub async fn run(arguments: Backup) -> Result<(), Failure> {
    signals::survive_file_limits();
    let target = arguments.target.clone().unwrap_or_else(Target::localhost);
    readable(&target, "backup")?;
    if target.mailbox.is_some() {
        return Err(Failure::usage("a backup is of a whole server").hint(format!(
            "tenfour backup {} {}",
            arguments.file.display(),
            target.host()
        )));
    }
    let path = &arguments.file;
    if path.exists() {
        return Err(Failure::local(format!("`{}` is there already", path.display()))
            .hint("a backup overwrites nothing; name another file"));
    }
    let beside = name_beside(path);
    // What is not whole is of no use.
    let remove_on_drop = RemoveOnDrop::of(&beside);
    let work = async {
        let bytes = fetch(&arguments, &target, &beside).await?;
        let copy = beside.clone();
        let checked = tokio::task::spawn_blocking(move || tenfour::store::check(&copy, |_| {}, |_| {})).await;
        let checked = checked.map_err(|error| Failure::caused(&error))?;
        let checked = checked.map_err(|error| Failure::caused(&error))?;
        Ok::<_, Failure>((bytes, checked))
    };
    let (bytes, checked) = tokio::select! {
        done = work => done?,
        code = signals::stop() => return Err(Failure::new(code, "interrupted; there is no backup")),
    };
    if checked.findings > 0 {
        remove_on_drop.keep();
        return Err(Failure::local(format!(
            "the store of {target} is damaged, and so is its copy `{}`: {}",
            beside.display(),
            show_count(checked.findings, "finding")
        ))
        .hint(format!("tenfour check {}", beside.display())));
    }
    give_durable_name(&beside, path)
        .map_err(|error| Failure::local(format!("cannot write `{}`: {error}", path.display())))?;
    output::talk(&format!(
        "{}: {} in {}, {}; nothing is wrong. It holds messages, cursors and streams; keys and rights are files beside the store: copy those too",
        path.display(),
        show_count(checked.messages, "message"),
        show_count(checked.mailboxes, "mailbox"),
        show_size(bytes)
    ));
    Ok(())
}

async fn fetch(arguments: &Backup, target: &Target, beside: &Path) -> Result<u64, Failure> {
    let config = setup::client(&arguments.identity, arguments.timeout, Durability::Memory, None)?;
    let written = |error: io::Error| Failure::local(format!("cannot write `{}`: {error}", beside.display()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)
        .map_err(written)?;
    let client = asking_client(target, config, "back up").await?;
    let mut out = BufWriter::with_capacity(1 << 20, tokio::fs::File::from_std(file));
    let progress = progress(None, "{spinner} {bytes}");
    let fetched = client
        .backup(&mut out, |bytes| progress.set_position(bytes))
        .await;
    progress.finish_and_clear();
    let bytes = fetched.map_err(|error| failure(&error))?;
    out.into_inner().sync_all().await.map_err(written)?;
    client.close().await;
    Ok(bytes)
}

fn failure(error: &BackupError) -> Failure {
    match error {
        BackupError::NotAllowed => Failure::new(Code::NotAllowed, error.to_string())
            .hint("use the server's own key, or on the server: tenfour keys allow FINGERPRINT admin"),
        BackupError::Write(_) => Failure::local(error.to_string()),
        BackupError::NoFile => Failure::new(Code::Refused, error.to_string()).hint(
            "in memory there is nothing to save; a server of a database that has no data folder cannot make one: set HOME or TENFOUR_HOME",
        ),
        _ => Failure::new(Code::Unavailable, error.to_string()),
    }
}
