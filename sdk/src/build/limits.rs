//! What each `RUN` may take of the host.

use std::fmt;
use std::time::Duration;

use super::options::Options;
use crate::container::resources::{UNLIMITED, bytes, microseconds, nano_cpus};
use crate::spec::byte_size::ByteSize;

/// Limits of each `RUN`, as those of containers. They make no difference to what is built.
///
/// An ordinary user needs a cgroup that was handed to it: without, a build with limits is an error.
impl Options {
    /// Limits memory, in bytes; at least 6 MiB. Default: no limit.
    ///
    /// A step that needs more is killed, and the build fails.
    #[doc(alias = "--memory")]
    pub fn memory(mut self, limit: impl TryInto<ByteSize, Error: fmt::Display>) -> Self {
        match limit.try_into() {
            Ok(limit) => self.resources.memory = bytes(limit),
            Err(error) => drop(self.mistake.get_or_insert(error.to_string())),
        }
        self
    }

    /// Limits memory and swap together, in bytes; not less than the limit of memory, which it needs. Equal to it: no
    /// swap. Default: twice the limit of memory, where the kernel counts swap.
    #[doc(alias = "--memory-swap")]
    pub fn memory_swap(mut self, limit: impl TryInto<ByteSize, Error: fmt::Display>) -> Self {
        match limit.try_into() {
            Ok(limit) => self.resources.memory_swap = bytes(limit),
            Err(error) => drop(self.mistake.get_or_insert(error.to_string())),
        }
        self
    }

    /// Lets a step with a limit of memory use all swap there is.
    pub fn memory_swap_unlimited(mut self) -> Self {
        self.resources.memory_swap = UNLIMITED;
        self
    }

    /// Limits CPU time to that of so many CPUs, at least 0.01. Default: no limit.
    #[doc(alias = "--cpus")]
    pub fn cpus(mut self, cpus: f64) -> Self {
        self.resources.nano_cpus = nano_cpus(cpus);
        self
    }

    /// Limits CPU time to this much in each [period](Self::cpu_period), at least 1 ms. Default: no limit.
    #[doc(alias = "--cpu-quota")]
    pub fn cpu_quota(mut self, quota: Duration) -> Self {
        self.resources.cpu_quota = microseconds(quota);
        self
    }

    /// The time over which [`cpu_quota`](Self::cpu_quota) counts, from 1 ms to 1 s. Default: 100 ms.
    #[doc(alias = "--cpu-period")]
    pub fn cpu_period(mut self, period: Duration) -> Self {
        self.resources.cpu_period = microseconds(period);
        self
    }

    /// The share of CPU time where several want it, from 2 to 262144. Default: 1024, which is everybody's.
    #[doc(alias = "--cpu-shares")]
    pub fn cpu_shares(mut self, shares: u32) -> Self {
        self.resources.cpu_shares = i64::from(shares).max(1);
        self
    }

    /// The CPUs that a step runs on: `0-2,4`. Default: all.
    #[doc(alias = "--cpuset-cpus")]
    pub fn cpuset(mut self, cpus: impl Into<String>) -> Self {
        self.resources.cpuset_cpus = cpus.into();
        self
    }

    /// Limits how many processes and threads a step has at a time. Default: 2048 where another limit is asked for.
    #[doc(alias = "--pids-limit")]
    pub fn pids_limit(mut self, limit: u32) -> Self {
        self.resources.pids_limit = Some(limit.into());
        self
    }
}
