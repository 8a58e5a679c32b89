//! The one place that prints. stdout is data, stderr is talk.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "all printing is here")]

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use crate::escape::{Escape, escape};
use crate::exit::Failure;

/// Somebody looks at it.
pub fn is_terminal(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Writes data. A reader who has had enough (`| head`) is no error, and ends the program.
pub fn data(bytes: &[u8]) -> Result<(), Failure> {
    match write(bytes) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::local(format!("cannot write to stdout: {error}"))),
    }
}

/// Writes a line of data.
pub fn line(text: &str) -> Result<(), Failure> {
    data(format!("{text}\n").as_bytes())
}

/// Why an answer could not be written.
static UNSAID: OnceLock<io::Error> = OnceLock::new();

/// Writes an answer of a command whose exit code says more than whether somebody reads. It goes on without a reader;
/// if nothing worse happens, [`unsaid`] tells in the end what else went wrong.
pub fn answer(bytes: &[u8]) {
    if let Err(error) = write(bytes)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // The first reason is enough.
        let _ = UNSAID.set(error);
    }
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
    // Nobody to talk to is no reason to fail.
    let _ = io::stderr().lock().write_all(&line);
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
