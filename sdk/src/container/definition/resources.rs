//! Limits on what a container takes of the host.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Definition;
use crate::container::resources::{DeviceRate, UNLIMITED, bytes, microseconds, nano_cpus};
use crate::spec::byte_size::ByteSize;

impl<D> Definition<D> {
    /// Limits memory, in bytes; at least 6 MiB, as in Docker. Default: no limit.
    ///
    /// A process that needs more is killed, and [`ExitStatus::is_oom_killed`](crate::ExitStatus::is_oom_killed) says so.
    /// As much swap may be used on top, unless [`memory_swap`](Self::memory_swap) says otherwise.
    ///
    /// ```no_run
    /// # use plywood::{Container, Engine};
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = Engine::open_default()?;
    /// let status = Container::of("debian:12").memory("256MiB").cpus(1.5).pids_limit(100).cmd(["make"]).status(&engine)?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "--memory")]
    pub fn memory(self, limit: impl TryInto<ByteSize, Error: fmt::Display>) -> Self {
        self.size(limit, |resources, bytes| resources.memory = bytes)
    }

    /// Memory that is left to it, in bytes, when the host runs short; less than the limit. Default: none.
    #[doc(alias = "--memory-reservation")]
    pub fn memory_reservation(self, size: impl TryInto<ByteSize, Error: fmt::Display>) -> Self {
        self.size(size, |resources, bytes| resources.memory_reservation = bytes)
    }

    /// Limits memory and swap together, in bytes; not less than the limit of memory, which it needs. Equal to it: no
    /// swap. Default: twice the limit of memory, where the kernel counts swap.
    #[doc(alias = "--memory-swap")]
    pub fn memory_swap(self, limit: impl TryInto<ByteSize, Error: fmt::Display>) -> Self {
        self.size(limit, |resources, bytes| resources.memory_swap = bytes)
    }

    /// Lets a container with a limit of memory use all swap there is.
    pub fn memory_swap_unlimited(mut self) -> Self {
        self.settings.resources.memory_swap = UNLIMITED;
        self
    }

    /// Limits CPU time to that of so many CPUs, at least 0.01. Default: no limit.
    #[doc(alias = "--cpus")]
    pub fn cpus(mut self, cpus: f64) -> Self {
        self.settings.resources.nano_cpus = nano_cpus(cpus);
        self
    }

    /// Limits CPU time to this much in each [period](Self::cpu_period), at least 1 ms. Default: no limit.
    #[doc(alias = "--cpu-quota")]
    pub fn cpu_quota(mut self, quota: Duration) -> Self {
        self.settings.resources.cpu_quota = microseconds(quota);
        self
    }

    /// The time over which [`cpu_quota`](Self::cpu_quota) counts, from 1 ms to 1 s. Default: 100 ms.
    #[doc(alias = "--cpu-period")]
    pub fn cpu_period(mut self, period: Duration) -> Self {
        self.settings.resources.cpu_period = microseconds(period);
        self
    }

    /// Its share of CPU time where several want it, from 2 to 262144. Default: 1024, which is everybody's.
    #[doc(alias = "--cpu-shares")]
    pub fn cpu_shares(mut self, shares: u32) -> Self {
        self.settings.resources.cpu_shares = i64::from(shares).max(1);
        self
    }

    /// The CPUs it runs on: `0-2,4`. Default: all.
    #[doc(alias = "--cpuset-cpus")]
    pub fn cpuset(mut self, cpus: impl Into<String>) -> Self {
        self.settings.resources.cpuset_cpus = cpus.into();
        self
    }

    /// The memory nodes it takes memory from: `0,1`. Default: all.
    #[doc(alias = "--cpuset-mems")]
    pub fn cpuset_mems(mut self, nodes: impl Into<String>) -> Self {
        self.settings.resources.cpuset_mems = nodes.into();
        self
    }

    /// Limits how many processes and threads it has at a time. Default: 2048 where it has a cgroup of its own anyway.
    #[doc(alias = "--pids-limit")]
    pub fn pids_limit(mut self, limit: u32) -> Self {
        self.settings.resources.pids_limit = Some(limit.into());
        self
    }

    /// Lets it have as many processes as the host allows.
    pub fn pids_unlimited(mut self) -> Self {
        self.settings.resources.pids_limit = Some(UNLIMITED);
        self
    }

    /// Its share of block device time where several want it, from 10 to 1000. Default: everybody's.
    #[doc(alias = "--blkio-weight")]
    pub fn blkio_weight(mut self, weight: u16) -> Self {
        self.settings.resources.blkio_weight = Some(weight);
        self
    }

    /// Limits what it reads from a block device, such as `/dev/sda`, in bytes a second.
    #[doc(alias = "--device-read-bps")]
    pub fn device_read_bps(
        self,
        device: impl Into<PathBuf>,
        rate: impl TryInto<ByteSize, Error: fmt::Display>,
    ) -> Self {
        let device = device.into();
        self.size(rate, |resources, rate| DeviceRate::add(&mut resources.blkio_device_read_bps, &device, rate))
    }

    /// Limits what it writes to a block device, in bytes a second.
    #[doc(alias = "--device-write-bps")]
    pub fn device_write_bps(
        self,
        device: impl Into<PathBuf>,
        rate: impl TryInto<ByteSize, Error: fmt::Display>,
    ) -> Self {
        let device = device.into();
        self.size(rate, |resources, rate| DeviceRate::add(&mut resources.blkio_device_write_bps, &device, rate))
    }

    /// Limits its reads from a block device, in operations a second.
    #[doc(alias = "--device-read-iops")]
    pub fn device_read_iops(mut self, device: impl Into<PathBuf>, rate: u32) -> Self {
        DeviceRate::add(&mut self.settings.resources.blkio_device_read_iops, &device.into(), rate.into());
        self
    }

    /// Limits its writes to a block device, in operations a second.
    #[doc(alias = "--device-write-iops")]
    pub fn device_write_iops(mut self, device: impl Into<PathBuf>, rate: u32) -> Self {
        DeviceRate::add(&mut self.settings.resources.blkio_device_write_iops, &device.into(), rate.into());
        self
    }

    /// Counts what it uses from the start, for [`Container::stats`](crate::Container::stats).
    ///
    /// With cgroups of version 2 that is so anyway. With version 1 a container has a cgroup of its own, which counts, only
    /// if this or a limit asks for it: it costs about a millisecond at the start.
    #[doc(alias = "stats")]
    pub fn statistics(mut self) -> Self {
        self.settings.statistics = true;
        self
    }

    fn size(
        mut self,
        size: impl TryInto<ByteSize, Error: fmt::Display>,
        set: impl FnOnce(&mut crate::container::resources::Resources, i64),
    ) -> Self {
        match size.try_into() {
            Ok(size) => set(&mut self.settings.resources, bytes(size)),
            Err(error) => {
                self.settings.mistake.get_or_insert(error.to_string());
            }
        }
        self
    }
}
