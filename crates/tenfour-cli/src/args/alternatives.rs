//! Flags of which one at most is meant.

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;

/// Which of several ways was chosen. What was typed wins over the environment; two of either contradict each other.
/// (clap's own conflicts know no difference between the two.)
pub fn one_of<'a>(matches: &ArgMatches, ways: &[&'a str]) -> Result<Option<&'a str>, clap::Error> {
    let said = |source| {
        let is_off = |way| matches!(matches.try_get_one::<bool>(way), Ok(Some(false)));
        ways.iter()
            .copied()
            .filter(move |way| matches.value_source(way) == Some(source) && !is_off(way))
    };
    for source in [ValueSource::CommandLine, ValueSource::EnvVariable] {
        let mut said = said(source);
        match (said.next(), said.next()) {
            (None, _) => {}
            (Some(way), None) => return Ok(Some(way)),
            (Some(one), Some(other)) => {
                let name = |way: &str| match way {
                    "words" => "a message as words".to_owned(),
                    flag => format!("--{}", flag.replace('_', "-")),
                };
                let text = format!("{} and {} cannot be used together", name(one), name(other));
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, text));
            }
        }
    }
    Ok(None)
}
