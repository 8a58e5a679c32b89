//! `tenfour completions` and `tenfour man`.

use clap::CommandFactory;

use crate::args::{Arguments, Completions};
use crate::exit::Failure;
use crate::output;

/// Prints the completions for a shell.
pub fn completions(arguments: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "tenfour", &mut script);
    output::data(&script)
}

/// Prints the manual page: the command, then each verb.
pub fn man() -> Result<(), Failure> {
    let command = Arguments::command();
    let mut page = Vec::new();
    let failed = |error: std::io::Error| Failure::local(format!("cannot write the manual page: {error}"));
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(failed)?;
    for verb in command.get_subcommands() {
        clap_mangen::Man::new(verb.clone())
            .title(format!("tenfour-{}", verb.get_name()))
            .render(&mut page)
            .map_err(failed)?;
    }
    output::data(&page)
}
