//! What a container uses, as `events` prints it.

use serde_json::json;

use super::Container;
use super::state::Status;
use crate::error::Result;
use crate::runtime::stats;
use crate::spec::ByteSize;

impl Container {
    /// One event of the kind `stats`, as JSON in one line: what the container has used so far, as far as its cgroup counts it.
    /// Memory is in bytes, CPU time in nanoseconds.
    ///
    /// # Errors
    /// If the container does not run.
    pub fn usage(&self) -> Result<String> {
        let record = self.directory.load(&self.id)?;
        self.expect(&record, "look at the usage of", &[Status::Created, Status::Running, Status::Paused])?;
        let stats = stats::read(record.group().as_ref(), record.pid, false)?;
        let bytes = |size: ByteSize| size.as_u64();
        let memory = stats.memory.map(|memory| {
            json!({
                "cache": bytes(memory.cache),
                "usage": {
                    "usage": bytes(memory.current),
                    "max": memory.peak.map_or(0, bytes),
                    "limit": memory.limit.map_or(u64::MAX, bytes),
                },
            })
        });
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let event = json!({
            "type": "stats",
            "id": self.id,
            "data": {
                "cpu": {
                    "usage": {
                        "total": nanos(stats.cpu.total),
                        "user": nanos(stats.cpu.user),
                        "kernel": nanos(stats.cpu.system),
                    },
                    "throttling": {
                        "periods": stats.cpu.periods,
                        "throttledPeriods": stats.cpu.throttled_periods,
                        "throttledTime": nanos(stats.cpu.throttled),
                    },
                },
                "memory": memory,
                "pids": { "current": stats.pids.current, "limit": stats.pids.limit.unwrap_or(0) },
            },
        });
        Ok(event.to_string())
    }
}
