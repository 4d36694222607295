//! What `prune` takes.

use clap::Args;
use plywood::{ByteSize, prune::Options};

use crate::failure::{Failure, Outcome};

/// What `prune` takes.
#[derive(Debug, Args)]
pub struct Prune {
    /// List what would go, and its bytes
    #[arg(long)]
    pub dry_run: bool,
    /// Images with names, too, if no container was made from them
    #[arg(short, long)]
    all: bool,
    /// Stop when everything takes no more than this (10GiB); what was not used for the longest time goes first
    #[arg(long, value_name = "SIZE")]
    max_used_space: Option<ByteSize>,
    /// Only what is older (until=24h), was not used for so long (unused=24h), has a label (label=name=value) or lacks one
    /// (label!=name)
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Volumes with names, too, if no container has them
    #[arg(long)]
    volumes: bool,
    /// For Docker's sake: plywood never asks
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    pub fn options(&self) -> Outcome<Options> {
        let mut options = self.filter.iter().try_fold(Options::new(), |options, filter| filtered(options, filter))?;
        if self.dry_run {
            options = options.dry_run();
        }
        if self.all {
            options = options.unused_images();
        }
        if self.volumes {
            options = options.named_volumes();
        }
        if let Some(size) = self.max_used_space {
            options = options.to_size(size);
        }
        Ok(options)
    }
}

/// What `--filter` asks for, in Docker's words where it has them.
fn filtered(options: Options, filter: &str) -> Outcome<Options> {
    let refused = || {
        let forms = "until=AGE, unused=TIME, label=NAME or label!=NAME";
        Failure::usage(format!("invalid filter {filter:?}: it is {forms}"))
    };
    match filter.split_once('=').ok_or_else(refused)? {
        ("until", text) => match plywood_syntax::duration::parse(text) {
            Some(age) => Ok(options.older_than(age)),
            None => Ok(options.until(text.parse().map_err(|_| refused())?)),
        },
        ("unused", text) => Ok(options.unused_for(plywood_syntax::duration::parse(text).ok_or_else(refused)?)),
        ("label", label) if !label.is_empty() => Ok(options.label(label)),
        ("label!", label) if !label.is_empty() => Ok(options.without_label(label)),
        _ => Err(refused()),
    }
}
