//! The arguments of `millstream serve`, made from the table of settings.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use super::exit::Failure;
use crate::config::{Config, Loaded, SETTINGS, Sources};

/// The arguments of `serve`. Every setting is a flag; two more say where the file is and ask for the effective values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeArgs {
    /// The TOML file, if one is named.
    pub config: Option<PathBuf>,
    /// Print the effective settings and stop.
    pub print_config: bool,
    /// The flags given, as (key of the setting, text).
    pub flags: Vec<(String, String)>,
}

const EXAMPLES: &str = "\
Every setting can be given as a flag, as a variable (MILLSTREAM_TAIL_CACHE for --tail-cache) and as a key of the
TOML file (tail_cache); flags win over variables, variables over the file.

Examples:
  millstream serve
  millstream serve --data /var/lib/millstream --cpus 2-7 --listen 0.0.0.0:4566 --auth-token-file token
  millstream serve --config node.toml --print-config";

impl Args for ServeArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let command = command
            .after_help(EXAMPLES)
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_name("FILE")
                    .env("MILLSTREAM_CONFIG")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("TOML file with settings"),
            )
            .arg(
                Arg::new("print_config")
                    .long("print-config")
                    .action(ArgAction::SetTrue)
                    .help("Print the effective settings, each with its origin, and stop"),
            );
        command.args(SETTINGS.iter().map(|setting| {
            let help = format!("{} [default: {}]", setting.help.trim().replace("\n ", " "), setting.default);
            Arg::new(setting.key)
                .long(setting.flag())
                .value_name(setting.value_name)
                .help(help)
                .allow_hyphen_values(true)
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &str| Some((key.to_owned(), matches.get_one::<String>(key)?.clone()));
        Ok(Self {
            config: matches.get_one("config").cloned(),
            print_config: matches.get_flag("print_config"),
            flags: SETTINGS.iter().filter_map(|setting| given(setting.key)).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ServeArgs {
    /// The effective settings: the flags, the given environment, and the text of the file named by `config`.
    pub fn load(&self, variables: Vec<(String, String)>, file_text: Option<String>) -> Result<Loaded, Failure> {
        let file = self.config.clone().zip(file_text);
        Config::load(&Sources { flags: self.flags.clone(), variables, file }).map_err(Failure::usage)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::exit::Exit;
    use crate::config::Workers;

    #[derive(Debug, Parser)]
    struct Serve {
        #[command(flatten)]
        args: ServeArgs,
    }

    /// Goal: every setting of the table is a flag, and what it is given arrives as text.
    #[test]
    fn every_setting_is_a_flag() {
        for setting in SETTINGS {
            let flag = format!("--{}", setting.flag());
            let serve = Serve::try_parse_from(["serve", &flag, setting.default]).unwrap();
            assert_eq!(serve.args.flags, [(setting.key.to_owned(), setting.default.to_owned())]);
            serve.args.load(Vec::new(), None).unwrap();
        }
        let error = Serve::try_parse_from(["serve", "--worker", "3"]).unwrap_err();
        assert!(error.to_string().contains("--workers"), "{error}");
    }

    /// Goal: the file's text, the variables and the flags meet in one configuration; mistakes end with the usage code.
    #[test]
    fn sources_meet() {
        let serve = Serve::try_parse_from(["serve", "--config", "f.toml", "--workers", "2"]).unwrap();
        let variables = vec![("MILLSTREAM_SPIN_US".to_owned(), "9".to_owned())];
        let loaded = serve.args.load(variables, Some("data = \"d\"\nworkers = 1".to_owned())).unwrap();
        assert_eq!(loaded.config.workers, Workers::Count(2));
        assert_eq!(loaded.config.spin_us.0, 9);
        assert_eq!(loaded.config.data, PathBuf::from("d"));
        let failure = serve.args.load(Vec::new(), Some("dta = 1".to_owned())).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.messages, ["f.toml:1: unknown setting `dta`; did you mean `data`?"]);
    }
}
