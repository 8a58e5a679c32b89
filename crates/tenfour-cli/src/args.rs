//! What was typed, before what it means.

mod alternatives;
mod backup;
mod bench;
mod check;
mod identity;
mod keys;
mod queue;
mod read;
mod removal;
mod send;
mod serve;
mod store;

use std::ffi::OsString;

use clap::builder::{OsStr, Resettable};
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

pub use backup::Backup;
pub use bench::Bench;
pub use check::Check;
pub use identity::Identity;
pub use keys::{Invite, Join, Keys, KeysVerb};
pub use queue::{Queue, What, Which};
pub use read::{Receive, Status, Tail};
pub use removal::{Cursor, CursorVerb, Mailbox, MailboxVerb, Removal};
pub use send::{Ask, Content, Send};
pub use serve::{Listener, Serve};
pub use store::{Store, StoreVerb};

/// Send a message to a process on another machine, and know that it arrived.
///
/// Exit 0 means: durably stored over there, exactly once.
#[derive(Debug, Parser)]
#[command(name = "tenfour", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Makes the enum of the verbs. clap's derive would build the flags of every verb at each start, which takes a
/// tenth of a millisecond of a `send` that takes three; here only those of the verb at hand are built.
macro_rules! verbs {
    ($($verb:ident $name:literal $about:literal)*) => {
        /// The verbs.
        #[derive(Debug)]
        pub enum Verb {
            $(#[doc = $about] $verb($verb),)*
        }

        impl Subcommand for Verb {
            fn augment_subcommands(command: Command) -> Command {
                command
                    .subcommand_required(true)
                    .arg_required_else_help(true)
                    $(.subcommand(Command::new($name).about($about).defer(|verb| given($verb::augment_args(verb).about($about)))))*
            }

            fn augment_subcommands_for_update(command: Command) -> Command {
                Self::augment_subcommands(command)
            }

            fn has_subcommand(name: &str) -> bool {
                matches!(name, $($name)|*)
            }
        }

        impl FromArgMatches for Verb {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let Some((name, matches)) = matches.subcommand() else {
                    return Err(clap::Error::new(ErrorKind::MissingSubcommand));
                };
                let mut verb = match name {
                    $($name => Verb::$verb($verb::from_arg_matches(matches)?),)*
                    _ => return Err(clap::Error::new(ErrorKind::InvalidSubcommand)),
                };
                match &mut verb {
                    Verb::Send(send) => send.choose(matches)?,
                    Verb::Ask(ask) => ask.choose(matches)?,
                    Verb::Queue(queue) => queue.choose(matches)?,
                    Verb::Tail(tail) => tail.choose(matches)?,
                    Verb::Receive(receive) => receive.choose(matches)?,
                    _ => {}
                }
                Ok(verb)
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

/// A variable that is set and empty counts as not set: that is how scripts, CI and compose files unset one.
fn given(command: Command) -> Command {
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| {
            if is_empty(&arg) {
                arg.env(Resettable::<OsStr>::Reset)
            } else {
                arg
            }
        })
        .mut_subcommands(given)
}

verbs! {
    Serve "serve" "Receive messages and keep them"
    Send "send" "Deliver messages and wait for the receipts"
    Queue "queue" "Put messages into the outbox on this machine, and deliver them from there"
    Ask "ask" "Send a message, print the reply, and end as its handler did"
    Tail "tail" "Look at a mailbox; moves nothing"
    Receive "receive" "Consume a mailbox by a durable cursor, to stdout, files or a program"
    Status "status" "Show what a server is doing, or what became of a message"
    Mailbox "mailbox" "Remove mailboxes from a server"
    Cursor "cursor" "Remove cursors from a server"
    Backup "backup" "Fetch the whole store of a running server, as a file"
    Store "store" "Make a store in a database, or copy a store"
    Check "check" "Read a whole store and name what is damaged; changes nothing"
    Keys "keys" "Show, trust, allow and remove keys"
    Invite "invite" "Let another machine in: prints a token for `tenfour join`"
    Join "join" "Accept an invitation: learns the server's key and shows it ours"
    Bench "bench" "Measure messages per second and latency against a server"
    Completions "completions" "Print the completions for a shell"
    Man "man" "Print the manual page"
}

/// What to say when an argument of a program is an option of the verb `V` as well: it was typed in the wrong place, perhaps.
pub fn misplaced_option<V: Args>(verb: &str, arguments: &[OsString]) -> Option<String> {
    option_of::<V>(arguments).map(|option| {
        format!(
            "tenfour: `{option}` stands behind --exec, so it is an argument of the program; options of {verb} stand before"
        )
    })
}

/// The first argument of a program that is an option of the verb `V` as well.
fn option_of<V: Args>(arguments: &[OsString]) -> Option<String> {
    let verb = V::augment_args(Command::new("tenfour"));
    let options: Vec<String> = verb
        .get_arguments()
        .flat_map(|arg| {
            let long = arg.get_long().map(|long| format!("--{long}"));
            long.into_iter()
                .chain(arg.get_short().map(|short| format!("-{short}")))
        })
        .collect();
    arguments
        .iter()
        .skip(1)
        .filter_map(|argument| argument.to_str())
        .find(|argument| options.iter().any(|option| option == argument))
        .map(str::to_owned)
}

/// `tenfour man`
#[derive(Debug, Args)]
pub struct Man {}

/// `tenfour completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use tenfour::worker::MESSAGE_VARIABLES;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        fn look(command: &Command) {
            for flag in command.get_arguments().filter(|flag| !flag.is_positional()) {
                let name = flag.get_id().as_str();
                let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                assert!(
                    matches!(name, "help" | "version") || variable.starts_with("TENFOUR_"),
                    "`--{name}` of `{}` has no variable",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(look);
        }
        let mut command = Arguments::command();
        command.build();
        look(&command);
    }

    #[test]
    fn two_ways_to_say_the_same_contradict_each_other() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["tenfour"], words].concat());
        for both in [
            &["send", "a", "word", "-m", "text"][..],
            &["send", "a", "-f", "file", "-l"],
            &["send", "a", "-l", "-0"],
            &["tail", "a", "-n", "1", "--from", "2"],
        ] {
            assert_eq!(parse(both).unwrap_err().kind(), ErrorKind::ArgumentConflict);
        }
        parse(&["send", "a", "word"]).unwrap();
    }

    fn variables(command: &Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(Arg::get_env);
        let own = own.map(|name| name.to_string_lossy().into_owned());
        own.chain(command.get_subcommands().flat_map(variables)).collect()
    }

    /// A handler's `tenfour send` took the name and the type of the message that it handled.
    #[test]
    fn what_a_program_is_told_is_no_option_of_ours() {
        let mut command = Arguments::command();
        command.build();
        let variables = variables(&command);
        assert!(variables.len() > 50, "{variables:?}");
        for name in variables {
            assert!(!name.starts_with(MESSAGE_VARIABLES), "{name}");
        }
    }

    #[test]
    fn an_option_behind_the_program_is_noticed() {
        let argv = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(option_of::<Receive>(&argv("./h -C 1")).as_deref(), Some("-C"));
        assert_eq!(
            option_of::<Receive>(&argv("./h --drain")).as_deref(),
            Some("--drain")
        );
        assert_eq!(option_of::<Receive>(&argv("-C --fast x")), None);
    }
}
