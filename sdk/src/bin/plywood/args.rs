//! The command line: Docker's words and flags where Docker has them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plywood::StorageDriver;

pub use crate::args_build::Build;
pub use crate::args_containers::{Attach, Enter, Events, Exec};
pub use crate::args_prune::Prune;
use crate::args_run::{Create, Run, Start};

/// Containers, images and volumes without a daemon.
#[derive(Debug, Parser)]
#[command(name = "plywood", version, disable_help_subcommand = true, max_term_width = 100, infer_long_args = false)]
#[command(after_help = "Exit codes: 125 if plywood failed, 126 if the command of a container cannot be executed, \
127 if it does not exist, else what the container's program exited with.")]
pub struct Arguments {
    /// The data root; default: $PLYWOOD_ROOT, else the user's
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// The storage driver: overlay2, btrfs, fuse-overlayfs or vfs; default: the data root's, for a new one the best that works
    #[arg(long, global = true, value_name = "DRIVER", value_parser = driver)]
    pub storage_driver: Option<StorageDriver>,

    /// How to print lists and objects
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub format: Format,

    #[command(subcommand)]
    pub command: Command,
}

fn driver(name: &str) -> Result<StorageDriver, String> {
    let explain = |error: plywood::Error| format!("{error}; {}", error.hint().unwrap_or_default());
    name.parse().map_err(explain)
}

/// How lists and objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
}

/// One verb.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from a Dockerfile
    Build(Build),
    /// Make an image from the tar of a root filesystem
    Import(Import),
    /// Load a `docker save` archive or an OCI layout
    Load(Load),
    /// Save images as an archive that Docker and OCI tools load
    Save(Save),
    /// List images
    Images(Images),
    /// Show how an image was made
    History(History),
    /// Give an image one more reference
    Tag {
        /// The image, by reference or ID
        image: String,
        /// Its further reference
        reference: String,
    },
    /// Remove images
    Rmi {
        /// Remove all references of an image given by its ID
        #[arg(short, long)]
        force: bool,
        /// References or IDs
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Create a container and run it, in the foreground or detached
    Run(Run),
    /// Create a container
    Create(Create),
    /// Start containers that were created or have exited, so that they outlive plywood
    Start(Start),
    /// Show what a running container writes from now on, and pass on signals
    Attach(Attach),
    /// Run a shell or another command of the host in the namespaces of a running container
    Enter(Enter),
    /// Run a further command in a running container
    Exec(Exec),
    /// List containers
    Ps(Ps),
    /// Show what happens to containers, as it happens
    Events(Events),
    /// List the processes of a container
    Top {
        /// Its name or ID
        container: String,
    },
    /// Show what a container has written
    Logs(Logs),
    /// Show what a container has changed of its image: A added, C changed, D deleted
    Diff {
        /// Its name or ID
        container: String,
    },
    /// Make an image from what a container has become
    Commit(Commit),
    /// Copy files between a container and the host
    Cp(Cp),
    /// Write the file system of a container as a tar
    Export {
        /// The file; default: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Its name or ID
        container: String,
    },
    /// Show everything about containers, images or volumes, as JSON
    Inspect(Inspect),
    /// Send a signal to containers
    Kill {
        /// Its name or number
        #[arg(short, long, default_value = "KILL")]
        signal: String,
        /// Names or IDs
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Stop containers: their stop signal, then SIGKILL
    Stop {
        /// Seconds to wait before SIGKILL; default: those of --stop-timeout, else 10
        #[arg(short = 't', long, visible_alias = "timeout", value_name = "SECONDS")]
        time: Option<u32>,
        /// Names or IDs
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Stop containers, and start them so that they outlive plywood
    Restart {
        /// Seconds to wait before SIGKILL; default: those of --stop-timeout, else 10
        #[arg(short = 't', long, visible_alias = "timeout", value_name = "SECONDS")]
        time: Option<u32>,
        /// Names or IDs
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Freeze all processes of containers
    Pause {
        /// Names or IDs
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Let paused containers go on
    Unpause {
        /// Names or IDs
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Show what running containers use, again each second
    Stats(Stats),
    /// Wait until containers have ended, and print their exit codes
    Wait {
        /// Names or IDs
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Give a container another name
    Rename {
        /// Its name or ID
        container: String,
        /// The other name
        name: String,
    },
    /// Remove containers
    Rm {
        /// Kill those that run, and pass over those that do not exist
        #[arg(short, long)]
        force: bool,
        /// Remove their volumes without a name too; plywood always does
        #[arg(short, long)]
        volumes: bool,
        /// Names or IDs
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Manage volumes
    #[command(subcommand)]
    Volume(Volume),
    /// Say what this host offers to containers, and what to do about what it lacks
    #[command(after_help = "Exit code 0 if containers can run here, else 1.")]
    Doctor,
    /// Show what takes space
    Df,
    /// Remove what nothing uses: ended containers, dangling images, unused volumes, the build cache
    Prune(Prune),
    /// Check the data root, and tell what is damaged or unknown in it
    #[command(after_help = "Exit code 0 if nothing is damaged, or not any more, else 1.")]
    Fsck {
        /// Repair what can be repaired without a loss
        #[arg(long)]
        repair: bool,
        /// Leave out the digests and sizes of layers
        #[arg(long)]
        quick: bool,
    },
    /// Anything else
    #[command(external_subcommand)]
    Later(Vec<OsString>),
}

/// What `import` takes.
#[derive(Debug, Args)]
pub struct Import {
    /// The tar, plain or compressed; `-` reads standard input
    pub file: PathBuf,
    /// The reference to tag it with
    pub reference: Option<String>,
    /// Apply a Dockerfile instruction to the image's configuration
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// The remark in its history
    #[arg(short, long)]
    pub message: Option<String>,
    /// The platform of its programs, such as linux/amd64; default: this one
    #[arg(long)]
    pub platform: Option<String>,
    /// Let it take the reference from another image
    #[arg(long)]
    pub overwrite: bool,
    /// No progress on a terminal
    #[arg(short, long)]
    pub quiet: bool,
}

/// What `load` takes.
#[derive(Debug, Args)]
pub struct Load {
    /// The archive, or the directory of an OCI layout; default: standard input
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// The same
    #[arg(conflicts_with = "input")]
    pub file: Option<PathBuf>,
    /// Take this image from the running Docker daemon ($DOCKER_HOST, else /var/run/docker.sock); more than once
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["input", "file"])]
    pub from_docker: Vec<String>,
    /// The platform to choose where there are several; default: this one
    #[arg(long)]
    pub platform: Option<String>,
    /// Let its references be taken from images that have them
    #[arg(long)]
    pub overwrite: bool,
    /// No progress on a terminal
    #[arg(short, long)]
    pub quiet: bool,
}

/// What `save` takes.
#[derive(Debug, Args)]
pub struct Save {
    /// The file; default: standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What to write
    #[arg(long = "as", value_enum, default_value_t = Archive::Docker, value_name = "KIND")]
    pub archive: Archive,
    /// References or IDs
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// What `save` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Archive {
    /// A tar that every `docker load` and every tool for OCI layouts reads
    Docker,
    /// A tar with an OCI layout and nothing else
    Oci,
    /// A directory with an OCI layout
    OciDir,
}

/// What `images` takes.
#[derive(Debug, Args)]
pub struct Images {
    /// Those of this repository or reference only
    pub name: Option<String>,
    /// All; plywood keeps no intermediate ones
    #[arg(short, long)]
    pub all: bool,
    /// IDs only
    #[arg(short, long)]
    pub quiet: bool,
    /// Whole IDs
    #[arg(long)]
    pub no_trunc: bool,
}

/// What `history` takes.
#[derive(Debug, Args)]
pub struct History {
    /// The image, by reference or ID
    pub image: String,
    /// IDs only
    #[arg(short, long)]
    pub quiet: bool,
    /// Whole instructions and IDs
    #[arg(long)]
    pub no_trunc: bool,
}

/// What `ps` takes.
#[derive(Debug, Args)]
pub struct Ps {
    /// Those that do not run, too
    #[arg(short, long)]
    pub all: bool,
    /// IDs only
    #[arg(short, long)]
    pub quiet: bool,
    /// The newest only, whatever it does
    #[arg(short, long)]
    pub latest: bool,
    /// The newest N, whatever they do
    #[arg(short = 'n', long, value_name = "N")]
    pub last: Option<usize>,
    /// Whole IDs and commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Only those that fit: id=, name=, status=, ancestor=, label=, exited=, volume=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
}

/// What `stats` takes.
#[derive(Debug, Args)]
pub struct Stats {
    /// Once, and no more
    #[arg(long)]
    pub no_stream: bool,
    /// Whole IDs
    #[arg(long)]
    pub no_trunc: bool,
    /// Those that do not run, too
    #[arg(short, long)]
    pub all: bool,
    /// Names or IDs; default: all that run
    #[arg(value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

/// What `logs` takes.
#[derive(Debug, Args)]
pub struct Logs {
    /// Its name or ID
    pub container: String,
    /// Go on as the container writes
    #[arg(short, long)]
    pub follow: bool,
    /// The last lines only; `all` for all
    #[arg(short = 'n', long, value_name = "N", default_value = "all", hide_default_value = true)]
    pub tail: String,
    /// Print the time before each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// From this time on: 2024-02-29T12:00:00Z, seconds since 1970, or 10m for ten minutes ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// What `cp` takes.
#[derive(Debug, Args)]
pub struct Cp {
    /// Keep the numbers of users and groups
    #[arg(short, long)]
    pub archive: bool,
    /// Copy what the source leads to if it is a link
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// For Docker's sake: plywood says nothing
    #[arg(short, long)]
    pub quiet: bool,
    /// CONTAINER:PATH, a path of the host, or `-` for a tar on standard input
    #[arg(value_name = "SOURCE")]
    pub from: String,
    /// The same; `-` writes a tar to standard output
    #[arg(value_name = "DESTINATION")]
    pub to: String,
}

/// What `commit` takes.
#[derive(Debug, Args)]
pub struct Commit {
    /// Its name or ID
    pub container: String,
    /// The reference to tag the image with
    pub reference: Option<String>,
    /// Who made it
    #[arg(short, long)]
    pub author: Option<String>,
    /// The remark in its history
    #[arg(short, long)]
    pub message: Option<String>,
    /// Apply a Dockerfile instruction to the image's configuration
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Let it stand still meanwhile (the default); --pause=false: it goes on
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set)]
    pub pause: bool,
}

/// What `inspect` takes.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Look among these only
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub kind: Option<Kind>,
    /// Names or IDs
    #[arg(required = true, value_name = "OBJECT")]
    pub objects: Vec<String>,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Kind {
    Container,
    Image,
    Volume,
}

/// What `volume` does.
#[derive(Debug, Subcommand)]
pub enum Volume {
    /// Create a volume
    Create {
        /// Its name; default: a random one
        name: Option<String>,
        /// Set a label
        #[arg(long, value_name = "KEY=VALUE")]
        label: Vec<String>,
    },
    /// List volumes
    #[command(visible_alias = "list")]
    Ls {
        /// Names only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show volumes, as JSON
    Inspect {
        /// Their names
        #[arg(required = true, value_name = "VOLUME")]
        names: Vec<String>,
    },
    /// Remove volumes
    #[command(visible_alias = "remove")]
    Rm {
        /// Pass over those that do not exist
        #[arg(short, long)]
        force: bool,
        /// Their names
        #[arg(required = true, value_name = "VOLUME")]
        names: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_of_the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
