//! Which files of the host an image of programs consists of.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use super::elf::{self, Executable};
use super::loader::{Loader, open_file};
use super::refused::Refused;
use crate::error::{Attempt as _, Result};

/// The `PATH` of a container whose image has none (Docker's).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most symbolic links in the resolution of one path (`MAXSYMLINKS`).
const LINKS_MAX: u32 = 40;
/// Links of the root directory that programs and scripts rely on, where the host has merged `/usr`.
const MERGED: [&str; 4] = ["/bin", "/lib", "/lib64", "/sbin"];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";
/// Directories every image has; the first five are mount points or expected by most programs.
const DIRECTORIES: [(&str, u32); 7] = [
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/proc", 0o755),
    ("/run", 0o755),
    ("/sys", 0o755),
    ("/root", 0o700),
    ("/tmp", 0o1777),
];

/// The files of an image, by path; a directory stands before what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Absolute paths in the image, without symbolic links in their directories.
    pub(super) files: BTreeMap<PathBuf, HostFile>,
    /// The `PATH` on which a container finds the programs.
    pub(crate) search_path: String,
}

/// One file of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostFile {
    Directory {
        mode: u32,
    },
    Symlink {
        target: PathBuf,
    },
    /// A copy of the host's file of the same path.
    Copy {
        mode: u32,
        size: u64,
    },
    /// Made by us.
    Text(&'static str),
}

impl Plan {
    /// The files, each after the directory that holds it.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&PathBuf, &HostFile)> {
        self.files.iter()
    }
}

/// Finds the programs, by name on the `PATH` of this process or by absolute path, and all they need to start.
pub(crate) fn plan(programs: &[String]) -> Result<Plan> {
    plan_with(programs, &std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()))
}

pub(super) fn plan_with(programs: &[String], search_path: &OsStr) -> Result<Plan> {
    if programs.is_empty() {
        return Err(Refused::None.into());
    }
    let mut tree = Tree::new();
    for link in MERGED {
        if fs::symlink_metadata(link).is_ok_and(|metadata| metadata.is_symlink()) && Path::new(link).is_dir() {
            tree.add(Path::new(link))?;
        }
    }
    let mut loader = Loader::new();
    let mut directories: Vec<String> = DEFAULT_PATH.split(':').map(str::to_owned).collect();
    for program in programs {
        let found = find(program, search_path)?;
        add_program(program, &found, &mut tree, &mut loader)?;
        let directory = found.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        if !program.contains('/') && !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    Ok(Plan { files: tree.0, search_path: directories.join(":") })
}

/// The path of a program, symbolic links unresolved.
fn find(program: &str, search_path: &OsStr) -> Result<PathBuf> {
    if program.starts_with('/') {
        return Ok(PathBuf::from(program));
    }
    if program.is_empty() || program.contains(['/', '\0']) {
        return Err(Refused::Name { program: program.to_owned() }.into());
    }
    let directories = std::env::split_paths(search_path).filter(|directory| directory.is_absolute());
    let mut candidates = directories.map(|directory| directory.join(program));
    let is_executable = |metadata: Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    candidates.find(|path| fs::metadata(path).is_ok_and(is_executable)).ok_or_else(|| {
        let searched = search_path.to_string_lossy().into_owned();
        Refused::NotFound { program: program.to_owned(), searched }.into()
    })
}

fn add_program(program: &str, found: &Path, tree: &mut Tree, loader: &mut Loader) -> Result<()> {
    let name = || program.to_owned();
    let path = tree.add(found).map_err(|error| error.about(program))?;
    if !path.is_file() {
        return Err(Refused::Kind { program: name(), path }.into());
    }
    let file = open_file(&path).attempt(|| format!("take program {program:?} from the host: read {path:?}"))?;
    let elf = match elf::read(&file).attempt(|| format!("take program {program:?} from the host: read {path:?}"))? {
        Executable::Elf(elf) => elf,
        Executable::Script(interpreter) => {
            return Err(Refused::Script { program: name(), path: found.to_owned(), interpreter }.into());
        }
        Executable::Other => return Err(Refused::NotElf { program: name(), path }.into()),
    };
    if !elf.abi.runs_here() {
        return Err(Refused::Architecture { program: name(), path, architecture: elf.abi.name() }.into());
    }
    let needs = loader.needs(&path, elf).map_err(|missing| Refused::Missing {
        program: name(),
        library: missing.library,
        needed_by: missing.needed_by,
    })?;
    for path in needs.interpreter.iter().chain(&needs.libraries).chain(&needs.search_path_file) {
        tree.add(path).map_err(|error| error.about(program))?;
    }
    for (link, target) in needs.links {
        tree.insert(link, HostFile::Symlink { target });
    }
    Ok(())
}

struct Tree(BTreeMap<PathBuf, HostFile>);

/// Why a path of the host was not taken; the program is told apart from it.
pub(super) enum Obstacle {
    Links(PathBuf),
    Kind(PathBuf),
    Os(PathBuf, std::io::Error),
}

impl Tree {
    fn new() -> Self {
        let directories = DIRECTORIES.map(|(path, mode)| (path.into(), HostFile::Directory { mode }));
        let mut files = BTreeMap::from(directories);
        files.insert("/etc/passwd".into(), HostFile::Text(PASSWD));
        files.insert("/etc/group".into(), HostFile::Text(GROUP));
        Self(files)
    }

    /// What is there first stays.
    fn insert(&mut self, path: PathBuf, file: HostFile) {
        self.0.entry(path).or_insert(file);
    }

    /// Adds a file or directory of the host with every directory and symbolic link on the way to it; gives the path
    /// without symbolic links.
    fn add(&mut self, path: &Path) -> Result<PathBuf, Obstacle> {
        let mut at = PathBuf::from("/");
        let mut pending: Vec<OsString> = names(path);
        let mut seen_links = HashSet::new();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let metadata = fs::symlink_metadata(&next).map_err(|error| Obstacle::Os(next.clone(), error))?;
            if metadata.is_symlink() {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Obstacle::Links(path.to_owned()));
                }
                let target = fs::read_link(&next).map_err(|error| Obstacle::Os(next.clone(), error))?;
                pending.extend(names(&target));
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                if seen_links.insert(next.clone()) {
                    self.insert(next, HostFile::Symlink { target });
                }
            } else if metadata.is_dir() {
                self.insert(next.clone(), HostFile::Directory { mode: 0o755 });
                at = next;
            } else if metadata.is_file() && pending.is_empty() {
                let mode = metadata.permissions().mode() & 0o7777;
                self.insert(next.clone(), HostFile::Copy { mode, size: metadata.len() });
                at = next;
            } else {
                return Err(Obstacle::Kind(next));
            }
        }
        Ok(at)
    }
}

/// The names of a path, last one first; `..` kept.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

impl Obstacle {
    fn about(self, program: &str) -> crate::error::Error {
        let program = program.to_owned();
        match self {
            Self::Links(path) => Refused::Links { program, path }.into(),
            Self::Kind(path) => Refused::Kind { program, path }.into(),
            Self::Os(path, error) => {
                crate::error::Error::os(format_args!("take program {program:?} from the host: read {path:?}"), error)
                    .with_path(path)
            }
        }
    }
}

impl From<Obstacle> for crate::error::Error {
    /// For the links of the root directory, which no program asked for.
    fn from(obstacle: Obstacle) -> Self {
        obstacle.about("/")
    }
}
