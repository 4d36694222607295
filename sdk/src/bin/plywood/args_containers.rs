//! What the commands about running containers take.

use std::path::PathBuf;

use clap::Args;

/// What `exec` takes.
#[derive(Debug, Args)]
#[command(override_usage = "plywood exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
pub struct Exec {
    /// Leave it to the container, without output
    #[arg(short, long)]
    pub detach: bool,
    /// With -it: the keys that leave it to the container: characters and ctrl-<letter>, between commas
    #[arg(long, value_name = "KEYS", default_value = crate::detach_keys::DEFAULT)]
    pub detach_keys: String,
    /// Set an environment variable: KEY=VALUE, or KEY for the caller's value
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Set environment variables from a file with one on each line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Hand it standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it all capabilities
    #[arg(long)]
    pub privileged: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// The user: NAME or UID, and :GROUP or :GID
    #[arg(short, long)]
    pub user: Option<String>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// The container, then the command and its arguments. Everything after the container belongs to the command.
    #[arg(trailing_var_arg = true, required = true, value_name = "CONTAINER COMMAND [ARG...]")]
    pub words: Vec<String>,
}

/// What `enter` takes.
#[derive(Debug, Args)]
#[command(override_usage = "plywood enter [OPTIONS] CONTAINER [COMMAND] [ARG...]")]
pub struct Enter {
    /// Set an environment variable: KEY=VALUE, or KEY for the caller's value
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Give it all capabilities
    #[arg(long)]
    pub privileged: bool,
    /// The container, then the command of the host and its arguments; default: sh
    #[arg(trailing_var_arg = true, required = true, value_name = "CONTAINER [COMMAND] [ARG...]")]
    pub words: Vec<String>,
}

/// What `attach` takes.
#[derive(Debug, Args)]
pub struct Attach {
    /// Hand it no input
    #[arg(long)]
    pub no_stdin: bool,
    /// The keys that leave it to itself: characters and ctrl-<letter>, between commas
    #[arg(long, value_name = "KEYS", default_value = crate::detach_keys::DEFAULT)]
    pub detach_keys: String,
    /// Whether signals are passed on to the container, unless it has a terminal: then they end plywood only
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sig_proxy: bool,
    /// Its name or ID
    pub container: String,
}

/// What `events` takes.
#[derive(Debug, Args)]
pub struct Events {
    /// Those that fit only: container=, event=, image=, type=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// Begin at this time: 2024-02-29T12:00:00Z, seconds since 1970, or 10m for ten minutes ago; default: now
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// End at this time; default: never
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}
