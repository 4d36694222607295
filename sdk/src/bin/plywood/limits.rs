//! The flags that limit what a container takes of the host.

use clap::Args;
use plywood::ByteSize;
use plywood::container::Definition;

use crate::failure::{Failure, Outcome};

/// Limits that a container may have, and each RUN of a build.
#[derive(Debug, Args)]
pub struct Shared {
    /// Most memory: 256m, 1.5g
    #[arg(short, long, value_name = "BYTES")]
    pub memory: Option<ByteSize>,
    /// Most memory and swap together; -1 for all swap there is
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// The share of CPU time: 1024 is everybody's
    #[arg(short, long, value_name = "SHARES")]
    pub cpu_shares: Option<u32>,
    /// Most CPU time in a period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_quota: Option<u64>,
    /// The period of --cpu-quota, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// The CPUs to run on: 0-2,4
    #[arg(long, value_name = "CPUS")]
    pub cpuset_cpus: Option<String>,
}

/// Adds [`Shared`] limits to a definition or to the options of a build, whose methods have the same names.
macro_rules! limited {
    ($limits:expr, $what:expr) => {{
        let (limits, mut what) = (&$limits, $what);
        if let Some(size) = limits.memory {
            what = what.memory(size);
        }
        match limits.memory_swap.as_deref() {
            Some("-1") => what = what.memory_swap_unlimited(),
            Some(size) => what = what.memory_swap(plywood::ByteSize::parse(size)?),
            None => {}
        }
        if let Some(shares) = limits.cpu_shares {
            what = what.cpu_shares(shares);
        }
        if let Some(quota) = limits.cpu_quota {
            what = what.cpu_quota(std::time::Duration::from_micros(quota));
        }
        if let Some(period) = limits.cpu_period {
            what = what.cpu_period(std::time::Duration::from_micros(period));
        }
        if let Some(cpus) = &limits.cpuset_cpus {
            what = what.cpuset(cpus);
        }
        what
    }};
}
pub(crate) use limited;

/// Limits of `run` and `create`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    #[command(flatten)]
    pub shared: Shared,
    /// Memory that is left to it when memory runs short
    #[arg(long, value_name = "BYTES")]
    pub memory_reservation: Option<ByteSize>,
    /// Most CPU time, in CPUs: 1.5
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<f64>,
    /// The memory nodes it uses: 0,1
    #[arg(long, value_name = "NODES")]
    pub cpuset_mems: Option<String>,
    /// Most processes and threads; -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Its share of block device time, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// Most bytes a second read from a device
    #[arg(long, value_name = "DEVICE:BYTES")]
    pub device_read_bps: Vec<String>,
    /// Most bytes a second written to a device
    #[arg(long, value_name = "DEVICE:BYTES")]
    pub device_write_bps: Vec<String>,
    /// Most reads a second from a device
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub device_read_iops: Vec<String>,
    /// Most writes a second to a device
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub device_write_iops: Vec<String>,
    /// Count its memory and block devices from the start, for `stats`
    #[arg(long)]
    pub statistics: bool,
}

impl Limits {
    /// Adds them to a definition.
    pub fn apply(&self, mut definition: Definition) -> Outcome<Definition> {
        definition = limited!(self.shared, definition);
        if let Some(size) = self.memory_reservation {
            definition = definition.memory_reservation(size);
        }
        if let Some(cpus) = self.cpus {
            definition = definition.cpus(cpus);
        }
        if let Some(nodes) = &self.cpuset_mems {
            definition = definition.cpuset_mems(nodes);
        }
        match self.pids_limit.map(|limit| (limit, u32::try_from(limit))) {
            None => {}
            Some((-1, _)) => definition = definition.pids_unlimited(),
            Some((_, Ok(limit))) => definition = definition.pids_limit(limit),
            Some((limit, Err(_))) => {
                return Err(Failure::usage(format!("invalid --pids-limit {limit}: it is a number above 0, or -1")));
            }
        }
        if let Some(weight) = self.blkio_weight {
            definition = definition.blkio_weight(weight);
        }
        for text in &self.device_read_bps {
            let (device, rate) = rate("--device-read-bps", text)?;
            definition = definition.device_read_bps(device, ByteSize::parse(rate)?);
        }
        for text in &self.device_write_bps {
            let (device, rate) = rate("--device-write-bps", text)?;
            definition = definition.device_write_bps(device, ByteSize::parse(rate)?);
        }
        for text in &self.device_read_iops {
            definition = operations("--device-read-iops", text, definition, Definition::device_read_iops)?;
        }
        for text in &self.device_write_iops {
            definition = operations("--device-write-iops", text, definition, Definition::device_write_iops)?;
        }
        if self.statistics {
            definition = definition.statistics();
        }
        Ok(definition)
    }
}

fn rate<'a>(flag: &str, text: &'a str) -> Outcome<(&'a str, &'a str)> {
    text.rsplit_once(':').ok_or_else(|| Failure::usage(format!("invalid {flag} {text:?}: it reads DEVICE:RATE")))
}

fn operations(
    flag: &str,
    text: &str,
    definition: Definition,
    add: impl FnOnce(Definition, String, u32) -> Definition,
) -> Outcome<Definition> {
    let (device, number) = rate(flag, text)?;
    let number = number.parse().map_err(|_| Failure::usage(format!("invalid {flag} {text:?}: it ends in a number")))?;
    Ok(add(definition, device.to_owned(), number))
}
