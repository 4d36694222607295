//! Which hierarchies there are.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::statfs;

/// `f_type` of the two kinds, from `linux/magic.h`. What is mounted over a hierarchy has another.
const LEGACY_MAGIC: u64 = 0x0027_e0eb;
const UNIFIED_MAGIC: u64 = 0x6367_7270;

/// The controllers of version 1 that we use, by their names there. Co-mounted ones share a hierarchy.
const LEGACY_CONTROLLERS: [&str; 8] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"];

/// Which interface the files of a cgroup have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// What a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Version 2 alone: a group costs next to nothing.
    Unified,
    /// Version 1, or both: a group is a directory and a move per controller.
    Legacy,
    /// No cgroup file system is mounted.
    None,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Which of its cgroups is mounted there: `/`, or what a container was given.
    pub root: String,
    /// Those of version 1; of version 2 the kernel is asked, group by group.
    pub controllers: Vec<String>,
}

/// All mounted hierarchies with controllers, and the unified one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hierarchies {
    pub unified: Option<Hierarchy>,
    pub legacy: Vec<Hierarchy>,
}

impl Hierarchies {
    pub(super) fn kind(&self) -> Kind {
        match (self.legacy.is_empty(), &self.unified) {
            (false, _) => Kind::Legacy,
            (true, Some(_)) => Kind::Unified,
            (true, None) => Kind::None,
        }
    }

    /// Those of version 1 in which a group with these controllers has a directory.
    ///
    /// A group without CPUs and memory nodes takes no process, and copying the parent's keeps later ones away. The unified
    /// hierarchy freezes as well.
    pub(super) fn legacy_of_use(&self, wanted: &[&'static str]) -> impl Iterator<Item = &Hierarchy> {
        let is_of_use = |name: &str| match name {
            "cpuset" => wanted.contains(&"cpuset"),
            "freezer" => self.unified.is_none(),
            _ => true,
        };
        self.legacy.iter().filter(move |hierarchy| hierarchy.controllers.iter().any(|name| is_of_use(name)))
    }
}

impl Hierarchy {
    /// Whether it is of version 1 and has this controller.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|known| known == controller)
    }
}

/// What this host has. Looked at once: nobody mounts hierarchies while containers run.
pub(super) fn hierarchies() -> io::Result<&'static Hierarchies> {
    static KNOWN: OnceLock<Hierarchies> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known);
    }
    let text = fs::read("/proc/self/mountinfo")?;
    Ok(KNOWN.get_or_init(|| parse(&String::from_utf8_lossy(&text), is_really)))
}

/// What this host has.
pub(crate) fn kind() -> io::Result<Kind> {
    Ok(hierarchies()?.kind())
}

/// Whether a hierarchy of this version is what a path leads to.
fn is_really(path: &Path, version: Version) -> bool {
    let magic = match version {
        Version::V1 => LEGACY_MAGIC,
        Version::V2 => UNIFIED_MAGIC,
    };
    // The width of the field differs from machine to machine.
    statfs(path).is_ok_and(|found| found.f_type as u64 & 0xffff_ffff == magic)
}

/// Reads mountinfo, [`proc_pid_mountinfo(5)`](https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html).
fn parse(text: &str, is_really: impl Fn(&Path, Version) -> bool) -> Hierarchies {
    let mut found = Hierarchies::default();
    for line in text.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let mut front = front.split(' ').skip(3);
        let (Some(root), Some(mount)) = (front.next(), front.next()) else { continue };
        let mut back = back.split(' ');
        let (Some(kind), Some(options)) = (back.next(), back.nth(1)) else { continue };
        // Mounted from outside of our cgroup namespace: what is above us is not ours.
        if root.starts_with("/..") {
            continue;
        }
        let hierarchy = |controllers| Hierarchy { mount: unescape(mount), root: root.to_owned(), controllers };
        match kind {
            "cgroup2" if found.unified.is_none() => {
                let hierarchy = hierarchy(Vec::new());
                found.unified = is_really(&hierarchy.mount, Version::V2).then_some(hierarchy);
            }
            "cgroup" => {
                // Named hierarchies (`name=systemd`) have no controller.
                let names = options.split(',').filter(|name| LEGACY_CONTROLLERS.contains(name));
                let hierarchy = hierarchy(names.map(str::to_owned).collect());
                let is_new = |names: &[String]| !found.legacy.iter().any(|known| known.controllers == names);
                if !hierarchy.controllers.is_empty()
                    && is_new(&hierarchy.controllers)
                    && is_really(&hierarchy.mount, Version::V1)
                {
                    found.legacy.push(hierarchy);
                }
            }
            _ => {}
        }
    }
    found
}

/// Mountinfo writes spaces and the like as `\040`.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// The cgroups of this process, in every hierarchy.
pub(crate) fn own() -> Vec<PathBuf> {
    let (Ok(text), Ok(hierarchies)) = (fs::read_to_string("/proc/self/cgroup"), hierarchies()) else {
        return Vec::new();
    };
    let of = |hierarchy: &Hierarchy| {
        let is_its = |names: &str| match hierarchy.controllers.first() {
            None => names.is_empty(),
            Some(controller) => names.split(',').any(|name| name == controller),
        };
        let path = text.lines().find_map(|line| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            is_its(names).then_some(path)
        });
        below(path?, &hierarchy.root).map(|path| hierarchy.mount.join(path))
    };
    hierarchies.unified.iter().chain(&hierarchies.legacy).filter_map(of).collect()
}

/// The cgroups of this process in the unified hierarchy that belong to this user, innermost first.
pub(super) fn delegated(unified: &Hierarchy) -> Vec<PathBuf> {
    let Ok(text) = fs::read_to_string("/proc/self/cgroup") else { return Vec::new() };
    let Some(own) = own_unified(&text, &unified.root) else { return Vec::new() };
    let own = unified.mount.join(own);
    own.ancestors()
        .take_while(|path| path.starts_with(&unified.mount))
        .filter(|path| is_ours(path))
        .map(Path::to_owned)
        .collect()
}

/// The path of the unified cgroup in `/proc/<pid>/cgroup`, below what is mounted.
fn own_unified<'a>(text: &'a str, root: &str) -> Option<&'a str> {
    below(text.lines().find_map(|line| line.strip_prefix("0::"))?, root)
}

/// A path of `/proc/<pid>/cgroup` below what is mounted.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let path = path.strip_prefix(root.trim_end_matches('/'))?;
    path.strip_prefix('/').or(path.is_empty().then_some("")).filter(|path| !path.split('/').any(|part| part == ".."))
}

/// Whether a cgroup was handed to this user: the directory is theirs, and they may move processes into it.
fn is_ours(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid().as_raw();
    let writable = || rustix::fs::access(path.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok();
    fs::metadata(path).is_ok_and(|found| found.uid() == user) && writable()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /mnt/a\\040b rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /elsewhere rw,relatime - cgroup cgroup rw,memory
37 31 0:34 / /covered rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn hierarchies_are_found_wherever_they_are_mounted() {
        let found = parse(HYBRID, |path, _| path != Path::new("/covered"));
        let legacy: Vec<_> = found.legacy.iter().map(|it| (it.mount.to_str(), it.controllers.join(","))).collect();
        let expected = [(Some("/sys/fs/cgroup/cpu,cpuacct"), "cpu,cpuacct"), (Some("/mnt/a b"), "memory")];
        assert_eq!(legacy, expected.map(|(path, names)| (path, names.to_owned())));
        assert_eq!(found.unified.as_ref().map(|it| it.mount.as_path()), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(found.kind(), Kind::Legacy);
    }

    #[test]
    fn a_mount_that_leads_above_our_namespace_is_passed_over() {
        let text = "41 31 0:38 /../.. /a rw - cgroup2 cgroup2 rw\n42 31 0:38 /app /b rw - cgroup2 cgroup2 rw";
        let found = parse(text, |_, _| true);
        assert_eq!(found.unified.map(|it| (it.mount, it.root)), Some(("/b".into(), "/app".into())));
        assert_eq!(parse("", |_, _| true).kind(), Kind::None);
    }

    #[test]
    fn the_own_cgroup_is_found_below_what_is_mounted() {
        for (text, root, expected) in [
            ("1:name=systemd:/x\n0::/user.slice/a.scope\n", "/", Some("user.slice/a.scope")),
            ("0::/\n", "/", Some("")),
            ("0::/docker/7/job\n", "/docker/7", Some("job")),
            ("0::/docker/7\n", "/docker/7", Some("")),
            ("0::/docker/77\n", "/docker/7", None),
            ("0::/../other\n", "/", None),
            ("1:memory:/x\n", "/", None),
        ] {
            assert_eq!(own_unified(text, root), expected, "{text:?} below {root:?}");
        }
    }
}
