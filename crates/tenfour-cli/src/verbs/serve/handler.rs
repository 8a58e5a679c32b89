//! `serve --exec`: a program for each message, beside the server.

use std::path::Path;

use tenfour::worker::{Exec, ExecError, Unauthenticated};
use tenfour::{CursorName, HandlerError, HandlerOptions, Item, Server};

use crate::args;
use crate::exit::Failure;

/// The cursor by which messages are handled.
const CURSOR: &str = "serve";

/// Adds the program, if there is one.
pub fn add(arguments: &args::Serve, server: &mut Server) -> Result<(), Failure> {
    let handling = &arguments.handling;
    let Some(program) = arguments.exec.first() else {
        if handling.exec_anonymous {
            return Err(
                Failure::usage("--exec-anonymous wants a program").hint("add --exec PROGRAM ... at the end")
            );
        }
        return Ok(());
    };
    if !can_be_found(Path::new(program)) {
        return Err(
            Failure::local(format!("cannot find the program `{}`", program.to_string_lossy()))
                .hint("name it after --exec as it is called, without a shell"),
        );
    }
    let cursor: CursorName = CURSOR
        .parse()
        .map_err(|error| Failure::local(format!("{error}")))?;
    let mut options = HandlerOptions::new(arguments.exec_mailbox.clone(), cursor);
    options.jobs = handling.jobs as usize;
    if handling.exec_anonymous {
        options.unauthenticated = Unauthenticated::Handle;
    }
    // The program's own limit is the one that is said.
    options.timeout = handling.handler_timeout * 2;
    let mut exec = Exec::new(arguments.exec.clone());
    exec.timeout = handling.handler_timeout;
    let handler = move |item: Item| {
        let exec = exec.clone();
        async move {
            match exec.handle(&item, CURSOR).await {
                Ok(handled) => handled.reply(item.message.asks).map_err(HandlerError::new),
                // It was there at the start, and may be there again.
                Err(error @ ExecError::Start { .. }) => Err(HandlerError::unavailable(error)),
                Err(error) => Err(HandlerError::new(error)),
            }
        }
    };
    server.handle_with(options, handler);
    Ok(())
}

/// As a path, or in PATH.
fn can_be_found(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
