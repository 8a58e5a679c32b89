//! `serve --exec`: a program for each message, beside the server.

use std::path::Path;

use tenfour::worker::{Exec, ExecError, Unauthenticated, can_be_found, reap_orphans};
use tenfour::{CursorName, HandlerError, HandlerOptions, Item, Server};

use crate::exit::Failure;
use crate::{args, output};

/// The cursor by which messages are handled.
const CURSOR: &str = "serve";

/// Adds the program, if there is one. It gets `open_files` as its soft limit of open files: what there was before ours was
/// raised.
pub fn add(arguments: &args::Serve, server: &mut Server, open_files: Option<u64>) -> Result<(), Failure> {
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
    if let Some(warning) = args::misplaced_option::<args::Serve>("serve", &arguments.exec) {
        output::talk(&warning);
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
    exec.open_files = open_files;
    tokio::spawn(reap_orphans());
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
