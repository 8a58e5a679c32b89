//! The one place that prints. stdout is data, stderr is talk.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "all printing is here")]

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::escape::{Escape, escape};
use crate::exit::Failure;
use crate::log;

/// Somebody looks at it.
pub fn is_terminal(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
}

/// Which of stdin and stdout were closed when the program started. Rust's runtime opens /dev/null in their place, and what
/// is written there would count as written.
static CLOSED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// Looks before that runtime does.
#[allow(
    unsafe_code,
    reason = "the one place that is called before `main`; it asks the kernel two questions"
)]
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        let streams = [rustix::stdio::stdin(), rustix::stdio::stdout()];
        for (stream, closed) in streams.into_iter().zip(&CLOSED) {
            closed.store(rustix::io::fcntl_getfd(stream).is_err(), Ordering::Relaxed);
        }
    }
    look
};

/// There is no stdin: it was closed when the program started.
pub fn stdin_is_closed() -> bool {
    CLOSED
        .first()
        .is_some_and(|closed| closed.load(Ordering::Relaxed))
}

fn write(bytes: &[u8]) -> io::Result<()> {
    if CLOSED.last().is_some_and(|closed| closed.load(Ordering::Relaxed)) {
        return Err(io::Error::other("it was closed from the start"));
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Pipes and terminals take so much at once, when they take anything.
const AT_ONCE: usize = 4_096;

/// The same for who has connections to keep: a reader that is slow keeps nobody else waiting.
async fn write_beside(mut bytes: Vec<u8>) -> io::Result<()> {
    // As far as it takes something at once, no thread is needed.
    let mut written = 0;
    while written < bytes.len() && is_writable() {
        let piece = bytes.get(written..).unwrap_or_default();
        let piece = piece.get(..AT_ONCE.min(piece.len())).unwrap_or_default();
        write(piece)?;
        written += piece.len();
    }
    if written == bytes.len() {
        return Ok(());
    }
    bytes.drain(..written);
    let written = tokio::task::spawn_blocking(move || write(&bytes)).await;
    written.map_err(io::Error::other)?
}

fn is_writable() -> bool {
    let stdout = rustix::stdio::stdout();
    let mut ready = [PollFd::new(&stdout, PollFlags::OUT)];
    let now = Timespec::default();
    // Whoever is gone is told by the write.
    rustix::event::poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0)
}

fn unwritten(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::enough(),
        _ => Failure::local(format!("cannot write to stdout: {error}")),
    }
}

/// Writes data. When its reader has had enough (`| head`), the failure is [`Failure::enough`]: the verb knows whether that
/// is one.
pub fn data(bytes: &[u8]) -> Result<(), Failure> {
    write(bytes).map_err(unwritten)
}

/// The same without holding up the connections of this thread.
pub async fn data_beside(bytes: Vec<u8>) -> Result<(), Failure> {
    write_beside(bytes).await.map_err(unwritten)
}

/// Writes a line of data.
pub fn line(text: &str) -> Result<(), Failure> {
    data(format!("{text}\n").as_bytes())
}

/// Why an answer could not be written.
static UNSAID: OnceLock<io::Error> = OnceLock::new();

fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // The first reason is enough.
        let _ = UNSAID.set(error);
    }
}

/// Writes an answer of a command whose exit code says more than whether somebody reads. It goes on without a reader;
/// if nothing worse happens, [`unsaid`] tells in the end what else went wrong.
pub fn answer(bytes: &[u8]) {
    note(write(bytes));
}

/// The same without holding up the connections of this thread.
pub async fn answer_beside(bytes: Vec<u8>) {
    note(write_beside(bytes).await);
}

/// The same with a line.
pub fn answer_line(text: &str) {
    answer(format!("{text}\n").as_bytes());
}

/// That an answer could not be written, though everything else was done.
pub fn unsaid() -> Result<(), Failure> {
    match UNSAID.get() {
        None => Ok(()),
        Some(error) => Err(Failure::local(format!(
            "cannot write to stdout: {error}; everything else is done"
        ))),
    }
}

/// Says something to whoever is there. Names and reasons in it may come from anywhere: nothing in it moves a cursor.
pub fn talk(text: &str) {
    let mut line = escape(text.as_bytes(), Escape::ForReading);
    line.push(b'\n');
    log::say(line);
}

/// Says what did not work; gives the code.
pub fn failure(failure: &Failure) -> ExitCode {
    if !failure.message.is_empty() {
        talk(&format!("tenfour: {}", failure.message));
    }
    if let Some(hint) = &failure.hint {
        talk(&format!("\nhint: {hint}"));
    }
    ExitCode::from(failure.code as u8)
}

/// Help and wrong usage, as clap words them.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
