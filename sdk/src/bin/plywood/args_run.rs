//! What `run`, `create` and `start` take.

use std::path::PathBuf;

use clap::Args;

use crate::args_health::Health;
use crate::args_security::Security;

/// What `run` takes.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, override_usage = "plywood run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
pub struct Run {
    /// Remove the container at its end
    #[arg(long)]
    pub rm: bool,
    /// Leave it running, and print its ID
    #[arg(short, long)]
    pub detach: bool,
    /// With -it: the keys that leave it to itself: characters and ctrl-<letter>, between commas; default: ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Write the container's ID to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    #[command(flatten)]
    pub definition: Definition,
    #[command(flatten)]
    pub later: Later,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// What `create` takes.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, override_usage = "plywood create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
pub struct Create {
    /// Write the container's ID to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    #[command(flatten)]
    pub definition: Definition,
    #[command(flatten)]
    pub later: Later,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// What `start` takes.
#[derive(Debug, Args)]
pub struct Start {
    /// Stay in the foreground with the one container, and its output
    #[arg(short, long)]
    pub attach: bool,
    /// Hand it standard input
    #[arg(short, long, requires = "attach")]
    pub interactive: bool,
    /// With -ai and a terminal: the keys that leave it to itself, as for `run`
    #[arg(long, value_name = "KEYS", requires = "interactive")]
    pub detach_keys: Option<String>,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

/// What a container is.
#[derive(Debug, Args)]
pub struct Definition {
    /// A name; default: a random one
    #[arg(long)]
    pub name: Option<String>,
    /// Set an environment variable: KEY=VALUE, or KEY for the caller's value
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Set environment variables from a file with one on each line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// The user: NAME or UID, and :GROUP or :GID
    #[arg(short, long)]
    pub user: Option<String>,
    /// The host name
    #[arg(short = 'h', long)]
    pub hostname: Option<String>,
    /// Replace the image's entrypoint; `""` removes it
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Mount a volume or a host path
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    pub volume: Vec<String>,
    /// Mount something: type=bind|volume|tmpfs,source=…,target=…[,readonly]
    #[arg(long, value_name = "OPTIONS")]
    pub mount: Vec<String>,
    /// Mount memory, with size=64m, mode=1777 or ro
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub tmpfs: Vec<String>,
    /// `private`, `none`, `host`, or that of another one: `container:NAME`
    #[arg(long, visible_alias = "net", default_value = "private")]
    pub network: String,
    /// Forward a port of the host, 127.0.0.1 unless told otherwise, to one of the container
    #[arg(short, long, value_name = "[[IP:]HOST:]PORT[/udp]")]
    pub publish: Vec<String>,
    /// Make the root filesystem read-only
    #[arg(long)]
    pub read_only: bool,
    /// Lift the protection of the host from the container
    #[arg(long)]
    pub privileged: bool,
    /// Put an init in front of the command, as process 1 (the default); --init=false or --no-init: none
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set)]
    pub init: bool,
    #[arg(long, hide = true, overrides_with = "init")]
    pub no_init: bool,
    /// Hand it standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Start it again when it ends: no, always, unless-stopped, on-failure or on-failure:RETRIES; with --detach or -it
    #[arg(long, value_name = "POLICY", default_value = "no")]
    pub restart: String,
    /// Set a label
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub label: Vec<String>,
    /// The signal by which `stop` asks it to end
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Seconds before SIGKILL after that
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<u32>,
    /// max-size=10m or max-file=3
    #[arg(long, value_name = "KEY=VALUE")]
    pub log_opt: Vec<String>,
    #[command(flatten)]
    pub health: Health,
    #[command(flatten)]
    pub security: Security,
    #[command(flatten)]
    pub limits: crate::limits::Limits,
    /// The image, then the command and its arguments. Everything after the image belongs to the command.
    #[arg(trailing_var_arg = true, required = true, value_name = "IMAGE [COMMAND] [ARG...]")]
    pub words: Vec<String>,
}

/// Docker's flags that this version does not have; each says so.
#[derive(Debug, Args)]
pub struct Later {
    #[arg(short = 'P', long, hide = true)]
    publish_all: bool,
    #[arg(long, hide = true)]
    pull: Option<String>,
    #[arg(long, hide = true)]
    platform: Option<String>,
}

impl Later {
    /// The first of these flags that was given, and what to do instead.
    pub fn given(&self) -> Option<(&'static str, &'static str)> {
        let flags = [
            (self.publish_all, "--publish-all", "name the ports: --publish PORT"),
            (self.pull.as_deref().is_some_and(|policy| policy == "always"), "--pull always", ""),
            (self.platform.is_some(), "--platform", "load the image for this platform"),
        ];
        flags.into_iter().find(|(given, ..)| *given).map(|(_, flag, instead)| (flag, instead))
    }
}
