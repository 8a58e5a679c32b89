//! `tenfour store copy`: from one machine to many, and back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use tenfour::store::{CopyError, Import, Record, SqliteImport, SqliteOptions, SqliteStore, Store};
use tokio::sync::oneshot;

use crate::amount::show_count;
use crate::exit::Failure;
use crate::key_lists::KeyLists;
use crate::new_file::{give_durable_name, name_beside};
use crate::progress::progress;
use crate::remove_on_drop::RemoveOnDrop;
use crate::stores::{self, file_failure, is_database};
use crate::{output, signals};

/// Copies all of it, or nothing.
pub async fn run(from: PathBuf, to: PathBuf) -> Result<(), Failure> {
    signals::survive_file_limits();
    let wanted = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&wanted);
    let (done, mut copied) = oneshot::channel();
    // A thread of its own: a database may be waited for only where no tasks run.
    let work = move || {
        // Nobody listens any more where this fails.
        let _ = done.send(copy(&from, &to, &flag));
    };
    std::thread::Builder::new()
        .name("copy".into())
        .spawn(work)
        .map_err(|error| Failure::local(format!("cannot start: {error}")))?;
    tokio::select! {
        done = &mut copied => done.map_err(|error| Failure::caused(&error))?,
        code = signals::stop() => {
            wanted.store(false, Ordering::Relaxed);
            // What was begun is taken away, unless it was done just now.
            match copied.await {
                Ok(Ok(())) => Ok(()),
                _ => Err(Failure::new(code, "interrupted; nothing was copied")),
            }
        }
    }
}

fn copy(from: &Path, to: &Path, wanted: &AtomicBool) -> Result<(), Failure> {
    for store in [from, to] {
        if store == Path::new("memory") {
            return Err(Failure::usage(
                "a store in memory ends with its server, and cannot be copied",
            ));
        }
    }
    let mut source = Source::open(from)?;
    let mut target = Target::create(to)?;
    let progress = progress(None, "{spinner} {pos} messages");
    let mut counted = Counted {
        into: target.import(),
        progress: &progress,
        counts: Counts::default(),
    };
    let mut reader = source.store().reader().map_err(|error| Failure::caused(&error))?;
    let copied = reader.export(&mut counted, wanted);
    let counts = counted.counts;
    progress.finish_and_clear();
    copied.map_err(|error| broken(&error))?;
    source.is_still_alone()?;
    let rights = copy_rights(from, to, &mut target)?;
    target.finish(to)?;
    output::talk(&format!(
        "{} in {}, {} and {}{rights}: all that {} has. Now: tenfour serve --store {}. Serve the other one never again: to senders it would be a server that lost messages",
        show_count(counts.messages, "message"),
        show_count(counts.mailboxes, "mailbox"),
        show_count(counts.producers, "stream"),
        show_count(counts.cursors, "cursor"),
        shown(from),
        shown(to),
    ));
    Ok(())
}

/// Without what stands in it as a password.
fn shown(store: &Path) -> String {
    #[cfg(feature = "postgres")]
    if is_database(store)
        && let Ok(address) = stores::address(&store.to_string_lossy())
    {
        return address.to_string();
    }
    store.display().to_string()
}

fn broken(error: &CopyError) -> Failure {
    let failure = Failure::caused(error);
    match error {
        CopyError::Full => failure.hint("make room; nothing was copied"),
        _ => failure.hint("nothing was copied; to look at a store in a file: tenfour check PATH"),
    }
}

/// Rights lie beside a store in a file, and in the database with one there. Says whether they were copied.
fn copy_rights(from: &Path, to: &Path, target: &mut Target) -> Result<&'static str, Failure> {
    if !is_database(from) && !is_database(to) {
        return Ok("");
    }
    let lists = KeyLists::of_store(Some(from))?;
    let mut said = ", with the rights";
    for (name, list) in lists.all() {
        let unread = |error| Failure::local(format!("cannot read `{}`: {error}", list.place()));
        let text = list.read().map_err(unread)?;
        if text.trim().is_empty() {
            continue;
        }
        match target {
            Target::File { .. } => {
                let own = KeyLists::of_store(None)?;
                let file = own.all().into_iter().find(|(own, _)| *own == name);
                let Some((_, file)) = file else { continue };
                let unwritten = |error| Failure::local(format!("cannot write `{}`: {error}", file.place()));
                let mut is_kept = false;
                file.edit(|before| {
                    is_kept = !before.trim().is_empty() && before != text;
                    Ok(if is_kept { before } else { &text }.to_owned())
                })
                .map_err(unwritten)?;
                if is_kept {
                    output::talk(&format!(
                        "tenfour: `{}` stays as it is; compare it with: tenfour keys list --store {}",
                        file.place(),
                        shown(from)
                    ));
                    said = "";
                }
            }
            #[cfg(feature = "postgres")]
            Target::Database(import) => import.put_key_list(name, &text).map_err(|error| broken(&error))?,
        }
    }
    Ok(said)
}

/// What is copied.
enum Source {
    File(Box<SqliteStore>),
    #[cfg(feature = "postgres")]
    Database {
        store: Box<tenfour::store::postgres::PostgresStore>,
        name: String,
    },
}

impl Source {
    fn open(store: &Path) -> Result<Self, Failure> {
        if is_database(store) {
            return Self::open_database(store);
        }
        // An opening makes what is not there.
        if let Err(error) = std::fs::metadata(store) {
            return Err(
                Failure::local(format!("cannot open `{}`: {error}", store.display()))
                    .hint("to make a store in a database: tenfour store init URL"),
            );
        }
        SqliteStore::open(store, SqliteOptions::default())
            .map(|store| Source::File(Box::new(store)))
            .map_err(|error| match error {
                tenfour::store::OpenError::InUse { .. } => Failure::caused(&error)
                    .hint("stop the server first: what comes meanwhile would be left behind"),
                other => file_failure(&other),
            })
    }

    #[cfg(not(feature = "postgres"))]
    fn open_database(_store: &Path) -> Result<Self, Failure> {
        Err(stores::without())
    }

    #[cfg(feature = "postgres")]
    fn open_database(store: &Path) -> Result<Self, Failure> {
        use tenfour::store::postgres::{Demand, PostgresOptions, PostgresStore};
        let address = stores::address(&store.to_string_lossy())?;
        let options = PostgresOptions {
            demand: Demand::Disk,
            name: "tenfour store copy".to_owned(),
            ..PostgresOptions::default()
        };
        let open = PostgresStore::open(&address, options)
            .map_err(|error| stores::database_failure(&error, &address))?;
        let mut source = Source::Database {
            store: Box::new(open),
            name: address.to_string(),
        };
        source.is_still_alone()?;
        Ok(source)
    }

    fn store(&self) -> &dyn Store {
        match self {
            Source::File(store) => &**store,
            #[cfg(feature = "postgres")]
            Source::Database { store, .. } => &**store,
        }
    }

    /// Nobody serves it, nor will whoever did.
    fn is_still_alone(&mut self) -> Result<(), Failure> {
        match self {
            // The lock is ours.
            Source::File(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Source::Database { store, name } => match store.be_alone() {
                Ok(true) => Ok(()),
                Ok(false) => Err(Failure::local(format!("`{name}` is served, or was a moment ago"))
                    .hint("stop all its servers; 15 seconds after the last one was killed it can be copied")),
                Err(error) => Err(Failure::caused(&error)),
            },
        }
    }
}

/// What it becomes.
enum Target {
    File {
        import: Box<SqliteImport>,
        beside: PathBuf,
        remove: RemoveOnDrop,
    },
    #[cfg(feature = "postgres")]
    Database(Box<tenfour::store::postgres::PostgresImport>),
}

impl Target {
    fn create(store: &Path) -> Result<Self, Failure> {
        if is_database(store) {
            return Self::create_in_database(store);
        }
        if std::fs::symlink_metadata(store).is_ok() {
            return Err(Failure::local(format!("`{}` is there already", store.display()))
                .hint("a copy overwrites nothing; name another file"));
        }
        let beside = name_beside(store);
        let import = SqliteImport::create(&beside)
            .map_err(|error| Failure::local(format!("cannot write `{}`: {error}", beside.display())))?;
        Ok(Target::File {
            import: Box::new(import),
            remove: RemoveOnDrop::of(&beside),
            beside,
        })
    }

    #[cfg(not(feature = "postgres"))]
    fn create_in_database(_store: &Path) -> Result<Self, Failure> {
        Err(stores::without())
    }

    #[cfg(feature = "postgres")]
    fn create_in_database(store: &Path) -> Result<Self, Failure> {
        use tenfour::store::postgres::PostgresImport;
        let address = stores::address(&store.to_string_lossy())?;
        let created =
            PostgresImport::create(&address).map_err(|error| stores::database_failure(&error, &address))?;
        let import = created.ok_or_else(|| {
            Failure::local(format!("`{address}` has a store already; nothing was changed"))
                .hint("name another database; a store that nobody needs goes by: DROP SCHEMA tenfour CASCADE")
        })?;
        Ok(Target::Database(Box::new(import)))
    }

    fn import(&mut self) -> &mut dyn Import {
        match self {
            Target::File { import, .. } => &mut **import,
            #[cfg(feature = "postgres")]
            Target::Database(import) => &mut **import,
        }
    }

    /// From here on it is a store.
    fn finish(self, store: &Path) -> Result<(), Failure> {
        match self {
            Target::File {
                import,
                beside,
                remove,
            } => {
                import.finish().map_err(|error| broken(&error))?;
                let checked = tenfour::store::check(&beside, |_| {}, |_| {});
                let checked = checked.map_err(|error| Failure::caused(&error))?;
                if checked.findings > 0 {
                    return Err(Failure::local(format!(
                        "what is in it does not fit together: {}",
                        show_count(checked.findings, "finding")
                    ))
                    .hint(
                        "nothing was copied; tenfour check PATH names what is wrong with a store in a file",
                    ));
                }
                give_durable_name(&beside, store).map_err(|error| {
                    Failure::local(format!("cannot write `{}`: {error}", store.display()))
                })?;
                drop(remove);
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Target::Database(import) => import.finish().map_err(|error| {
                Failure::caused(&error).hint(format!(
                    "whether there is a store now is not known; look: tenfour store init {}",
                    shown(store)
                ))
            }),
        }
    }
}

/// What has come.
#[derive(Clone, Copy, Default)]
struct Counts {
    messages: u64,
    mailboxes: u64,
    producers: u64,
    cursors: u64,
}

/// Counts what comes.
struct Counted<'a> {
    into: &'a mut dyn Import,
    progress: &'a ProgressBar,
    counts: Counts,
}

impl Import for Counted<'_> {
    fn put(&mut self, record: Record) -> Result<(), CopyError> {
        match &record {
            Record::Message { .. } => {
                self.counts.messages += 1;
                if self.counts.messages.is_multiple_of(1_000) {
                    self.progress.set_position(self.counts.messages);
                }
            }
            Record::Mailbox { .. } => self.counts.mailboxes += 1,
            Record::Producer { .. } => self.counts.producers += 1,
            Record::Cursor { .. } => self.counts.cursors += 1,
            _ => {}
        }
        self.into.put(record)
    }
}
