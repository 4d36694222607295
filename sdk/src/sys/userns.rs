//! User namespaces: which ids the containers of this process have, and the one namespace that holds them.
//!
//! An ordinary user may use further ids where `/etc/subuid` and `/etc/subgid` list some, and [`newuidmap(1)`] with its
//! sibling grants them. They are asked once per process (2 ms each), for one namespace that all containers join and that
//! work on their files is done in ([`within`](super::within)). In it, 0 is the user, and what is granted follows from 1 on.
//!
//! [`newuidmap(1)`]: https://man7.org/linux/man-pages/man1/newuidmap.1.html

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::clone::{self, Gate, Options};
use super::plan::Plan;
use super::probe::{Privilege, privilege};
use super::visible::Visibility;
use super::{namespace, wait};

/// Which ids containers have.
#[derive(Debug)]
pub(crate) enum Ids {
    /// Those of the host: this process is root.
    Host,
    /// Several, in a namespace of this process.
    Many(Namespace),
    /// One, in a namespace per container, and why not more.
    One(Lack),
}

/// A user namespace with several ids.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Keeps it, and lets others join it.
    pub fd: OwnedFd,
    pub map: Map,
}

/// What the ids of a namespace are outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map {
    pub uids: Vec<Range>,
    pub gids: Vec<Range>,
}

/// Ids that follow each other, inside and outside alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// The most that is read of `/etc/subuid`: a host with ten thousand users has a tenth.
const LONGEST_FILE: u64 = 4 << 20;

/// The kernel takes this many lines of a map.
const MOST_RANGES: usize = 340;

/// Where the programs that grant ids lie; a `PATH` of somebody else does not count. The latter ones are NixOS's and Guix's.
const TRUSTED: [&str; 7] = [
    "/usr/bin",
    "/bin",
    "/usr/local/bin",
    "/usr/sbin",
    "/run/wrappers/bin",
    "/run/privileged/bin",
    "/run/setuid-programs",
];

/// Which ids containers of this process have; found out once.
pub(crate) fn ids() -> &'static Ids {
    static IDS: OnceLock<Ids> = OnceLock::new();
    IDS.get_or_init(|| {
        if privilege() == Privilege::Root {
            return Ids::Host;
        }
        match several() {
            Ok(namespace) => Ids::Many(namespace),
            Err(why) => {
                // No warning: most need no further ids, and the doctor tells who does.
                tracing::info!("containers of this user have one user and one group: {why} ({})", why.remedy());
                Ids::One(why)
            }
        }
    })
}

/// Whether files can belong to others than the user of this process.
pub(crate) fn keeps_owners() -> bool {
    match ids() {
        Ids::Host | Ids::Many(_) => true,
        Ids::One(_) => rustix::process::geteuid().is_root(),
    }
}

/// Whether device nodes can be made.
pub(crate) fn makes_devices() -> bool {
    match ids() {
        Ids::Host => true,
        Ids::Many(_) => false,
        Ids::One(_) => rustix::process::geteuid().is_root(),
    }
}

/// What is missing for an id: the words for a message, or `None` if files can belong to it.
pub(crate) fn lacks(uid: u32, gid: u32) -> Option<String> {
    let Ids::Many(Namespace { map, .. }) = ids() else { return None };
    let (what, id, ranges) = match (holds(&map.uids, uid), holds(&map.gids, gid)) {
        (true, true) => return None,
        (false, _) => ("user", uid, &map.uids),
        (true, false) => ("group", gid, &map.gids),
    };
    let count: u64 = ranges.iter().map(|range| u64::from(range.count)).sum();
    Some(format!("{what} {id} does not exist for this user, who has {count} of them"))
}

/// The highest group id that containers of this user have.
pub(crate) fn last_gid() -> u32 {
    match ids() {
        Ids::Many(namespace) => namespace.map.last_gid(),
        Ids::Host | Ids::One(_) => 0,
    }
}

impl Map {
    /// The highest group id inside.
    pub(crate) fn last_gid(&self) -> u32 {
        self.gids.last().map_or(0, |range| range.inside + (range.count - 1))
    }
}

fn holds(ranges: &[Range], id: u32) -> bool {
    ranges.iter().any(|range| id >= range.inside && id - range.inside < range.count)
}

impl fmt::Display for Map {
    /// One line: `0:1000:1,1:100000:65536 0:1000:1,1:100000:65536`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ranges) in [&self.uids, &self.gids].into_iter().enumerate() {
            f.write_str(if number > 0 { " " } else { "" })?;
            for (number, Range { inside, outside, count }) in ranges.iter().enumerate() {
                let comma = if number > 0 { "," } else { "" };
                write!(f, "{comma}{inside}:{outside}:{count}")?;
            }
        }
        Ok(())
    }
}

/// Why an ordinary user has one id only.
#[derive(Debug)]
pub(crate) enum Lack {
    Listed(&'static str),
    Program(&'static str),
    Names,
    Read(&'static str, io::Error),
    Refused(&'static str, String),
    Create(clone::Failure),
    Use(io::Error),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(file) => write!(f, "{file} lists no subordinate ids for this user"),
            Self::Program(name) => write!(f, "{name} is not installed"),
            Self::Names => f.write_str("the program runs with a user or group that is not its own (set-user-ID)"),
            Self::Read(file, error) => write!(f, "read {file}: {error}"),
            Self::Refused(program, why) => write!(f, "{program} refused: {why}"),
            Self::Create(clone::Failure::Clone(error) | clone::Failure::Prepare(error)) => {
                write!(f, "create a user namespace: {error}")
            }
            Self::Create(_) => f.write_str("create a user namespace: it did not last"),
            Self::Use(error) => write!(f, "join the user namespace: {error}"),
        }
    }
}

impl Lack {
    /// What can be done about it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Listed(_) => {
                let uid = rustix::process::getuid().as_raw();
                let name = names_of(uid).into_iter().next().unwrap_or_else(|| uid.to_string());
                format!("add `{name}:100000:65536`, or another range that is free, to /etc/subuid and /etc/subgid")
            }
            Self::Program(_) => "install the package uidmap (shadow-utils), whose programs are set-uid root".to_owned(),
            Self::Names => "run the program as a user whose real and effective ids are the same".to_owned(),
            Self::Refused(..) => {
                "it must be set-uid root, on a mount without nosuid, for a program whose bounding set has CAP_SETUID"
                    .to_owned()
            }
            Self::Read(..) | Self::Create(_) | Self::Use(_) => "run as root".to_owned(),
        }
    }
}

fn several() -> Result<Namespace, Lack> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if (uid, gid) != (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()) {
        return Err(Lack::Names);
    }
    let names = names_of(uid);
    let map = Map { uids: granted("/etc/subuid", uid, uid, &names)?, gids: granted("/etc/subgid", uid, gid, &names)? };
    let tools = [tool("newuidmap")?, tool("newgidmap")?];
    let namespace = Namespace { fd: create(&map, &tools)?, map };
    super::within::run(&namespace.fd, || ()).map_err(Lack::Use)?;
    Ok(namespace)
}

/// What a user is called: in `/etc/passwd`, else what the session says, which the programs that grant ids check.
fn names_of(uid: u32) -> Vec<String> {
    let passwd = read_bounded(Path::new("/etc/passwd")).unwrap_or_default();
    let mut names: Vec<String> = passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .collect();
    if names.is_empty() {
        names.extend(std::env::var("USER").ok());
    }
    names
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The map of a user: itself as 0, then what the file grants.
fn granted(file: &'static str, uid: u32, own: u32, names: &[String]) -> Result<Vec<Range>, Lack> {
    let text = match read_bounded(Path::new(file)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| Lack::Read(file, error))?,
    };
    let ranges = ranges(&text, uid, own, names);
    if ranges.len() > 1 { Ok(ranges) } else { Err(Lack::Listed(file)) }
}

/// Reads [`subuid(5)`](https://man7.org/linux/man-pages/man5/subuid.5.html): `name-or-uid:first:count`, in order.
fn ranges(text: &str, uid: u32, own: u32, names: &[String]) -> Vec<Range> {
    let mut ranges = vec![Range { inside: 0, outside: own, count: 1 }];
    let mut next = 1_u32;
    for line in text.lines() {
        let mut fields = line.trim().split(':');
        let (Some(owner), Some(first), Some(count), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let is_ours = names.iter().any(|name| name == owner) || owner.parse() == Ok(uid);
        let (Ok(outside), Ok(count)) = (first.parse::<u32>(), count.parse::<u32>()) else { continue };
        // The last id stands for none; neither side may have it.
        let ends = (outside.checked_add(count), next.checked_add(count));
        let (true, 1.., (Some(end), Some(inside_end))) = (is_ours, count, ends) else { continue };
        // The kernel takes no id twice.
        let is_free = |range: &Range| end <= range.outside || outside - range.outside.min(outside) >= range.count;
        if ranges.iter().all(is_free) && ranges.len() < MOST_RANGES {
            ranges.push(Range { inside: next, outside, count });
            next = inside_end;
        }
    }
    ranges
}

fn tool(name: &'static str) -> Result<(&'static str, PathBuf), Lack> {
    let found = TRUSTED.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.is_file());
    found.map(|path| (name, path)).ok_or(Lack::Program(name))
}

/// Makes the namespace, with ids that programs grant.
fn create(map: &Map, tools: &[(&'static str, PathBuf); 2]) -> Result<OwnedFd, Lack> {
    let mut refused = None;
    let created = create_with(|pid| {
        for ((name, program), (file, ranges)) in tools.iter().zip([("uid_map", &map.uids), ("gid_map", &map.gids)]) {
            if let Some(why) = grant(program, pid, file, ranges) {
                refused = Some(Lack::Refused(name, why));
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        Ok(())
    });
    match refused {
        Some(refused) => Err(refused),
        None => created.map_err(Lack::Create),
    }
}

/// Makes a namespace with these ids, which this process must be allowed to give.
pub(crate) fn mapped(map: &Map) -> Result<OwnedFd, clone::Failure> {
    let lines = |ranges: &[Range]| {
        let lines = ranges.iter().map(|Range { inside, outside, count }| format!("{inside} {outside} {count}\n"));
        lines.collect::<String>()
    };
    create_with(|pid| {
        // In one call each, as the kernel wants it.
        for (file, ranges) in [("uid_map", &map.uids), ("gid_map", &map.gids)] {
            let mut map = File::options().write(true).open(format!("/proc/{pid}/{file}"))?;
            io::Write::write_all(&mut map, lines(ranges).as_bytes())?;
        }
        Ok(())
    })
}

/// The same of root's, to be kept.
pub(crate) fn create_shifted(map: Map) -> io::Result<Namespace> {
    let fd = mapped(&map).map_err(clone::Failure::into_io)?;
    Ok(Namespace { fd: super::helper::high(fd)?, map })
}

/// Makes a namespace: a child waits in it while `prepare` is given its number, and ends when a descriptor holds it.
pub(super) fn create_with(prepare: impl FnOnce(u32) -> io::Result<()>) -> Result<OwnedFd, clone::Failure> {
    let mut plan = Plan::default();
    plan.gate();
    let mut blob = plan.seal().map_err(clone::Failure::Prepare)?;
    let visibility = match privilege() {
        // Who may write the map of anybody. And what works in a container for long, hidden, keeps nobody waiting.
        Privilege::Root => Visibility::Hidden,
        Privilege::User => Visibility::Kept,
    };
    let options = Options { namespaces: namespace::USER, forks: false, visibility, cgroup: None, gate: Gate::Closed };
    let mut held = None;
    let prepared = |pid, _: BorrowedFd<'_>| {
        prepare(pid)?;
        held = Some(OwnedFd::from(File::open(format!("/proc/{pid}/ns/user"))?));
        Ok(())
    };
    let child = clone::spawn(&mut blob, options, prepared, |_, _| Ok(()))?;
    // Its end is no news.
    let _ = wait::reap(&child.pidfd);
    held.ok_or(clone::Failure::Killed)
}

/// Lets a program write a map; the words say why it did not. What counts is the map: a host program that ignores its
/// children never learns how they end.
fn grant(program: &Path, pid: u32, file: &str, ranges: &[Range]) -> Option<String> {
    let numbers = ranges.iter().flat_map(|range| [range.inside, range.outside, range.count]);
    let output = Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let map = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    if map.lines().count() >= ranges.len() {
        return None;
    }
    Some(match output {
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
        Err(error) => error.to_string(),
    })
}

pub(crate) mod range;
#[cfg(test)]
mod tests;
