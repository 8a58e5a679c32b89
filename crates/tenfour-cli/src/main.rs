//! The command `tenfour`: arguments -> library -> words and exit code. It decides nothing about
//! protocols or storage.

mod allocator;
mod amount;
mod args;
mod escape;
mod exit;
mod key_lists;
mod log;
mod new_file;
mod output;
mod progress;
mod remove_on_drop;
mod route;
mod service_manager;
mod setup;
mod signals;
mod stores;
mod target;
mod verbs;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::Targets;

use args::{Arguments, Verb};
use exit::Failure;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let asks = std::env::args_os().nth(1).is_some_and(|verb| verb == "ask");
            return match output::usage(&error) {
                wrong if asks && wrong != ExitCode::SUCCESS => verbs::ask::USAGE.into(),
                code => code,
            };
        }
    };
    start_log(&arguments);
    let result = match arguments.verb {
        Verb::Serve(serve) => beside_the_writer(verbs::serve::run(serve)),
        Verb::Send(send) => on_this_thread(verbs::send::run(send)),
        Verb::Ask(ask) => {
            let ended = on_this_thread(verbs::ask::run(ask));
            return match ended.and_then(|code| output::unsaid().map(|()| code)) {
                Ok(code) => code.into(),
                Err(failure) => {
                    let code = verbs::ask::exit_code(failure.code);
                    output::failure(&failure);
                    code.into()
                }
            };
        }
        Verb::Queue(queue) => on_this_thread(verbs::queue::run(queue)),
        Verb::Tail(tail) => on_this_thread(verbs::tail::run(tail)),
        Verb::Receive(receive) => on_this_thread(verbs::receive::run(receive)),
        Verb::Status(status) => on_this_thread(verbs::status::run(status)),
        Verb::Mailbox(mailbox) => on_this_thread(verbs::removal::mailbox(mailbox)),
        Verb::Cursor(cursor) => on_this_thread(verbs::removal::cursor(cursor)),
        Verb::Backup(backup) => on_this_thread(verbs::backup::run(backup)),
        Verb::Store(store) => on_this_thread(verbs::store::run(store)),
        Verb::Check(check) => verbs::check::run(check),
        Verb::Keys(keys) => verbs::keys::run(keys),
        Verb::Invite(invite) => on_this_thread(verbs::invite::run(invite)),
        Verb::Join(join) => on_this_thread(verbs::join::run(join)),
        Verb::Bench(bench) => on_all_cores(verbs::bench::run(bench)),
        Verb::Completions(completions) => verbs::shell::completions(&completions),
        Verb::Man(_) => verbs::shell::man(),
    };
    let code = match result.and_then(|()| output::unsaid()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output::failure(&failure),
    };
    log::flush();
    code
}

/// One message needs no threads, and their start would cost more than it.
fn on_this_thread<T>(verb: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    finish(runtime, verb)
}

/// A core is left to the thread that writes to the store; with as many workers as cores they mostly wake each
/// other up.
fn beside_the_writer(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads((cores - 1).max(1)).enable_all();
    finish(runtime.build(), verb)
}

fn on_all_cores(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    finish(
        tokio::runtime::Builder::new_multi_thread().enable_all().build(),
        verb,
    )
}

fn finish<T>(
    runtime: std::io::Result<tokio::runtime::Runtime>,
    verb: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = runtime.map_err(|error| Failure::local(format!("cannot start: {error}")))?;
    let result = runtime.block_on(verb);
    // A thread may still wait for a line of the terminal; nobody waits for that thread. And the process
    // ends: taking the runtime apart would only keep whoever waits for the exit code.
    std::mem::forget(runtime);
    result
}

/// Logs are talk: they go to stderr. Only a server has something to tell unasked; the others end in words anyway.
fn start_log(arguments: &Arguments) {
    let wish: Option<Targets> = std::env::var("TENFOUR_LOG")
        .ok()
        .and_then(|wish| wish.parse().ok());
    let stays = match &arguments.verb {
        Verb::Serve(_) => true,
        Verb::Queue(queue) => queue.run,
        _ => false,
    };
    if let Some(filter) = wish.or_else(|| stays.then(log::usual)) {
        log::start(filter, stays, output::is_terminal(&std::io::stderr()));
    }
}
