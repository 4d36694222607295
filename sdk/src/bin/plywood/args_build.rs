//! The flags of `build`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub struct Build {
    /// The Dockerfile; `-` is standard input. Default: the one in the build context
    #[arg(short, long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Give the image a reference
    #[arg(short, long, value_name = "REFERENCE")]
    pub tag: Vec<String>,
    /// Give an ARG its value; without one, that of the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Build this stage instead of the last one
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Execute every step, even where its result is there
    #[arg(long)]
    pub no_cache: bool,
    /// Label the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// The network of every RUN: private, host or none
    #[arg(long, default_value = "private", value_name = "NETWORK")]
    pub network: String,
    /// Build for this platform
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// Hand a file to the RUNs that ask for it
    #[arg(long, value_name = "id=ID[,src=FILE]")]
    pub secret: Vec<String>,
    /// How to tell what happens
    #[arg(long, value_enum, default_value_t = Progress::Auto, value_name = "HOW")]
    pub progress: Progress,
    /// Print the image ID only
    #[arg(short, long)]
    pub quiet: bool,
    /// Write the image ID to a file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// The directory beneath which COPY and ADD find their sources; `-` is none, and a Dockerfile from standard input
    #[arg(value_name = "CONTEXT")]
    pub context: PathBuf,
    #[command(flatten, next_help_heading = "Limits of each RUN")]
    pub limits: crate::limits::Shared,
    /// Most processes and threads
    #[arg(long, value_name = "NUMBER")]
    pub pids_limit: Option<u32>,
}

/// How a build tells what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// As `plain`
    Auto,
    /// A line for each event
    Plain,
    /// Nothing
    Quiet,
}
