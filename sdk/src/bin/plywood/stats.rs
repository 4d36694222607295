//! `stats`: what containers use, with Docker's columns.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use plywood::container::Stats;
use plywood::{ByteSize, Container, ContainerId, Engine, ErrorKind};
use serde_json::{Value, json};

use crate::Session;
use crate::args;
use crate::failure::Outcome;
use crate::human;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Clears a terminal and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

const TITLES: [&str; 8] =
    ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];

/// What is not known.
const UNKNOWN: &str = "--";

/// One container at one time: `None` if it does not run.
struct Row {
    id: ContainerId,
    name: String,
    stats: Option<Stats>,
    cpu: Option<f64>,
}

pub fn print(session: &Session, flags: &args::Stats) -> Outcome<()> {
    let engine = session.engine()?;
    let mut before = HashMap::new();
    // The use of CPUs is that between two looks.
    look(&engine, flags, &mut before)?;
    loop {
        thread::sleep(PAUSE);
        let rows = look(&engine, flags, &mut before)?;
        if session.output.is_json() {
            session.output.json(&rows.iter().map(document).collect::<Vec<_>>())?;
        } else {
            if !flags.no_stream && std::io::stdout().is_terminal() {
                session.output.lines([CLEAR])?;
            }
            let rows: Vec<_> = rows.iter().map(|row| cells(row, flags.no_trunc)).collect();
            session.output.table(TITLES, &rows)?;
        }
        if flags.no_stream {
            return Ok(());
        }
    }
}

fn look(engine: &Engine, flags: &args::Stats, before: &mut HashMap<ContainerId, Stats>) -> Outcome<Vec<Row>> {
    let named = !flags.containers.is_empty();
    let containers: Vec<Container> = match named {
        true => flags.containers.iter().map(|name| engine.container(name)).collect::<Result<_, _>>()?,
        false => engine.containers()?,
    };
    let mut rows = Vec::new();
    for container in containers {
        let stats = match container.stats() {
            Ok(stats) => Some(stats),
            // It does not run, or goes as we look.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        if stats.is_none() && !named && !flags.all {
            continue;
        }
        let id = container.id().clone();
        let cpu = stats.as_ref().and_then(|now| share(before.get(&id)?, now));
        if let Some(stats) = &stats {
            before.insert(id.clone(), stats.clone());
        }
        rows.push(Row { id, name: container.name().to_owned(), stats, cpu });
    }
    Ok(rows)
}

/// CPUs in use between two looks, in percent of one.
fn share(before: &Stats, now: &Stats) -> Option<f64> {
    let passed = now.read_at.since(before.read_at).as_secs_f64();
    let used = now.cpu.total.saturating_sub(before.cpu.total).as_secs_f64();
    (passed > 0.0).then(|| used / passed * 100.0)
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| format!("{value:.2}%"))
}

fn memory_share(stats: &Stats) -> Option<f64> {
    let memory = stats.memory?;
    Some(memory.used().as_u64() as f64 / memory.limit?.as_u64() as f64 * 100.0)
}

fn pair(first: ByteSize, second: ByteSize) -> String {
    format!("{} / {}", human::size(first.as_u64()), human::size(second.as_u64()))
}

fn cells(row: &Row, whole: bool) -> [String; 8] {
    let id = if whole { row.id.as_str() } else { row.id.short() }.to_owned();
    let unknown = || UNKNOWN.to_owned();
    let Some(stats) = &row.stats else {
        return [id, row.name.clone(), unknown(), unknown(), unknown(), unknown(), unknown(), unknown()];
    };
    let memory = stats.memory.map(|memory| {
        let limit = memory.limit.map_or_else(unknown, |limit| limit.to_string());
        format!("{} / {limit}", memory.used())
    });
    let network = stats.network.values();
    let network = network.fold((0, 0), |sum, it| (sum.0 + it.received.as_u64(), sum.1 + it.sent.as_u64()));
    [
        id,
        row.name.clone(),
        percent(row.cpu),
        memory.unwrap_or_else(unknown),
        percent(memory_share(stats)),
        pair(ByteSize::bytes(network.0), ByteSize::bytes(network.1)),
        stats.io.map_or_else(unknown, |io| pair(io.read, io.written)),
        stats.pids.current.to_string(),
    ]
}

fn document(row: &Row) -> Value {
    let stats = row.stats.as_ref();
    let network = stats.map(|stats| {
        let each = stats
            .network
            .iter()
            .map(|(name, it)| (name.clone(), json!({ "Received": it.received, "Sent": it.sent, "Failed": it.failed })));
        each.collect::<serde_json::Map<_, _>>()
    });
    let memory = stats.and_then(|stats| stats.memory).map(|memory| {
        json!({ "Used": memory.used(), "Current": memory.current, "Cache": memory.cache, "Peak": memory.peak,
            "Limit": memory.limit })
    });
    let io = stats.and_then(|stats| stats.io);
    let io = io.map(|io| json!({ "Read": io.read, "Written": io.written, "Reads": io.reads, "Writes": io.writes }));
    let cpu = stats.map(|stats| {
        let cpu = stats.cpu;
        json!({ "Percent": row.cpu, "TotalSeconds": cpu.total.as_secs_f64(), "UserSeconds": cpu.user.as_secs_f64(),
            "SystemSeconds": cpu.system.as_secs_f64(), "ThrottledSeconds": cpu.throttled.as_secs_f64() })
    });
    let pids = stats.map(|stats| json!({ "Current": stats.pids.current, "Limit": stats.pids.limit }));
    json!({ "ID": row.id, "Name": row.name, "CPU": cpu, "Memory": memory, "Network": network, "IO": io, "PIDs": pids })
}
