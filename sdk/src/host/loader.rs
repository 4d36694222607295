//! Finds the libraries of a program where its loader finds them.
//!
//! glibc ([ld.so(8)](https://man7.org/linux/man-pages/man8/ld.so.8.html)), for each needed name: `RPATH` of the object
//! and of those that loaded it, unless the object has a `RUNPATH`; its `RUNPATH`; the cache; the default directories.
//! musl: `RPATH` or `RUNPATH` of the object and of those that loaded it; the directories of `/etc/ld-musl-<arch>.path`,
//! else its defaults. `LD_LIBRARY_PATH` is left out: the container does not have it. Files of another architecture are
//! passed over, as the loader does.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::elf::{self, Abi, Elf, Executable};
use super::ld_cache::LdCache;

const LD_CACHE: &str = "/etc/ld.so.cache";
/// The C library of glibc; its directory is one the loader searches without a cache.
const GLIBC: &str = "libc.so.6";
/// The directories musl searches by default (`ldso/dynlink.c`).
const MUSL_DIRECTORIES: [&str; 3] = ["/lib", "/usr/local/lib", "/usr/lib"];
/// Libraries that are part of musl's loader (`reserved` in `ldso/dynlink.c`).
const MUSL_OWN: [&str; 7] = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];

/// Reads programs and libraries once, and searches as the loader does.
pub(super) struct Loader {
    cache: LdCache,
    read: HashMap<PathBuf, Option<Rc<Elf>>>,
    /// The interpreter of the last program, which will load the modules that follow.
    last: Option<PathBuf>,
}

/// What a program needs besides itself.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) interpreter: Option<PathBuf>,
    /// As the search found them, symbolic links unresolved.
    pub(super) libraries: Vec<PathBuf>,
    /// Links from a default directory to a library that only the cache knows: (link, its target).
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// The file with musl's search path.
    pub(super) search_path_file: Option<PathBuf>,
}

/// A library that is nowhere.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) library: OsString,
    pub(super) needed_by: PathBuf,
}

/// A program or library of one process.
struct Object {
    elf: Rc<Elf>,
    path: PathBuf,
    /// The object that needed this one first.
    loaded_by: Option<usize>,
}

enum Flavour {
    Glibc,
    Musl { directories: Vec<PathBuf> },
}

struct Found {
    path: PathBuf,
    elf: Rc<Elf>,
    by_cache: bool,
}

impl Loader {
    /// A loader of this host.
    pub(super) fn new() -> Self {
        let cache = fs::read(LD_CACHE).map(|bytes| LdCache::parse(&bytes)).unwrap_or_default();
        Self { cache, read: HashMap::new(), last: None }
    }

    /// Finds everything `program`, a path without symbolic links, loads at its start.
    pub(super) fn needs(&mut self, program: &Path, elf: Elf) -> Result<Needs, Missing> {
        let mut needs = Needs::default();
        // A module has none of its own, and a static program loads nothing.
        let of_program = self.last.clone().filter(|_| !elf.needed.is_empty());
        let Some(interpreter) = elf.interpreter.clone().or(of_program) else { return Ok(needs) };
        if !interpreter.is_absolute() || self.elf(&interpreter).is_none() {
            return Err(Missing { library: interpreter.into(), needed_by: program.to_owned() });
        }
        let (flavour, search_path_file) = flavour(&interpreter);
        needs.search_path_file = search_path_file;

        // A name is loaded once per process; the interpreter is there already.
        let mut loaded: HashSet<OsString> = interpreter.file_name().map(OsStr::to_owned).into_iter().collect();
        loaded.extend(self.elf(&interpreter).and_then(|elf| elf.soname.clone()));
        self.last = Some(interpreter.clone());
        needs.interpreter = Some(interpreter);

        let mut objects = vec![Object { elf: Rc::new(elf), path: program.to_owned(), loaded_by: None }];
        let mut found_by_cache = Vec::new();
        let mut next = 0;
        while let Some(object) = objects.get(next) {
            let (elf, path) = (Rc::clone(&object.elf), object.path.clone());
            for name in &elf.needed {
                let is_own = matches!(flavour, Flavour::Musl { .. }) && is_part_of_musl(name);
                if is_own || !loaded.insert(name.clone()) {
                    continue;
                }
                let found = self.search(name, &objects, next, &flavour);
                let found = found.ok_or_else(|| Missing { library: name.clone(), needed_by: path.clone() })?;
                if found.by_cache {
                    found_by_cache.push((name.clone(), found.path.clone()));
                }
                needs.libraries.push(found.path.clone());
                objects.push(Object { elf: found.elf, path: found.path, loaded_by: Some(next) });
            }
            next += 1;
        }
        needs.links = links(&found_by_cache);
        Ok(needs)
    }

    fn search(&mut self, name: &OsStr, objects: &[Object], by: usize, flavour: &Flavour) -> Option<Found> {
        let abi = objects[0].elf.abi;
        if name.as_bytes().contains(&b'/') {
            // A relative one would depend on the working directory of whoever starts the program.
            let path = expand(name, &objects[by].path, abi).into_iter().find(|path| path.is_absolute())?;
            return self.candidate(path, abi, false);
        }
        for directory in search_path(objects, by, flavour, abi) {
            if let Some(found) = self.candidate(directory.join(name), abi, false) {
                return Some(found);
            }
        }
        match flavour {
            Flavour::Musl { directories } => {
                directories.iter().find_map(|directory| self.candidate(directory.join(name), abi, false))
            }
            Flavour::Glibc if objects[by].elf.no_default => None,
            Flavour::Glibc => {
                let cached = self.cache.paths(name).to_vec();
                cached.into_iter().find_map(|path| self.candidate(path, abi, true)).or_else(|| {
                    let mut defaults = default_directories(abi).into_iter();
                    defaults.find_map(|directory| self.candidate(directory.join(name), abi, false))
                })
            }
        }
    }

    fn candidate(&mut self, path: PathBuf, abi: Abi, by_cache: bool) -> Option<Found> {
        let elf = self.elf(&path)?;
        (elf.abi == abi).then_some(Found { path, elf, by_cache })
    }

    fn elf(&mut self, path: &Path) -> Option<Rc<Elf>> {
        if let Some(known) = self.read.get(path) {
            return known.clone();
        }
        let elf = match open_file(path).and_then(|file| elf::read(&file)) {
            Ok(Executable::Elf(elf)) => Some(Rc::new(elf)),
            _ => None,
        };
        self.read.insert(path.to_owned(), elf.clone());
        elf
    }
}

/// Opens a regular file; a FIFO of that name must not hold us up.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    match fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// Whose loader it is, by its name, and the file with its search path where there is one.
fn flavour(interpreter: &Path) -> (Flavour, Option<PathBuf>) {
    let name = interpreter.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with("ld-musl-") {
        return (Flavour::Glibc, None);
    }
    let stem = name.split(".so").next().unwrap_or_default();
    let file = PathBuf::from(format!("/etc/{stem}.path"));
    match fs::read(&file) {
        Ok(text) => {
            let parts = text.split(|byte| matches!(byte, b'\n' | b':'));
            let directories = parts.filter(|part| part.starts_with(b"/"));
            let directories = directories.map(|part| PathBuf::from(OsStr::from_bytes(part))).collect();
            (Flavour::Musl { directories }, Some(file))
        }
        Err(_) => (Flavour::Musl { directories: MUSL_DIRECTORIES.map(PathBuf::from).into() }, None),
    }
}

fn is_part_of_musl(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let stem = name.strip_prefix(b"lib").and_then(|rest| rest.split(|byte| *byte == b'.').next());
    stem.is_some_and(|stem| MUSL_OWN.iter().any(|own| own.as_bytes() == stem))
}

/// The directories that the objects themselves name.
fn search_path(objects: &[Object], by: usize, flavour: &Flavour, abi: Abi) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    let mut add = |list: &Option<OsString>, object: &Object| {
        for entry in list.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b':')) {
            let expanded = expand(OsStr::from_bytes(entry), &object.path, abi);
            directories.extend(expanded.into_iter().filter(|path| path.is_absolute()));
        }
    };
    let ancestors =
        || std::iter::successors(Some(&objects[by]), |object| object.loaded_by.map(|index| &objects[index]));
    match flavour {
        Flavour::Glibc => {
            if objects[by].elf.runpath.is_none() {
                for object in ancestors().filter(|object| object.elf.runpath.is_none()) {
                    add(&object.elf.rpath, object);
                }
            }
            add(&objects[by].elf.runpath, &objects[by]);
        }
        Flavour::Musl { .. } => {
            for object in ancestors() {
                let list = if object.elf.runpath.is_some() { &object.elf.runpath } else { &object.elf.rpath };
                add(list, object);
            }
        }
    }
    directories
}

/// Replaces `$ORIGIN`, `$LIB` and `$PLATFORM`, with and without braces; `$LIB` has one value per distribution.
fn expand(entry: &OsStr, object: &Path, abi: Abi) -> Vec<PathBuf> {
    let origin = object.parent().unwrap_or(Path::new("/")).as_os_str().as_bytes();
    let libraries = [if abi.is_64 { "lib64".to_owned() } else { "lib".to_owned() }, format!("lib/{}", triplet(abi))];
    let platform = abi.name();
    let mut expanded = Vec::new();
    for library in &libraries {
        let values: [(&[u8], &[u8]); 3] =
            [(b"ORIGIN", origin), (b"LIB", library.as_bytes()), (b"PLATFORM", platform.as_bytes())];
        let path = PathBuf::from(OsString::from_vec(replace(entry.as_bytes(), &values)));
        if !expanded.contains(&path) {
            expanded.push(path);
        }
    }
    expanded
}

fn replace(text: &[u8], values: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    'text: while let Some((first, after)) = rest.split_first() {
        if *first == b'$' {
            for (name, value) in values {
                let braced = after.strip_prefix(b"{").and_then(|after| after.strip_prefix(*name)?.strip_prefix(b"}"));
                if let Some(after) = braced.or_else(|| after.strip_prefix(*name)) {
                    replaced.extend_from_slice(value);
                    rest = after;
                    continue 'text;
                }
            }
        }
        replaced.push(*first);
        rest = after;
    }
    replaced
}

/// The directories glibc has compiled in, of all distributions.
fn default_directories(abi: Abi) -> Vec<PathBuf> {
    let triplet = triplet(abi);
    let (own, other) = if abi.is_64 { ("lib64", "lib") } else { ("lib", "lib32") };
    let names = [format!("lib/{triplet}"), own.to_owned(), other.to_owned()];
    names.iter().flat_map(|name| [format!("/{name}"), format!("/usr/{name}")]).map(PathBuf::from).collect()
}

/// Debian's name of an architecture.
fn triplet(abi: Abi) -> String {
    match abi.name().as_str() {
        "arm" => "arm-linux-gnueabihf".to_owned(),
        name => format!("{name}-linux-gnu"),
    }
}

/// A container has no cache, so what is outside of the C library's own directory gets a link in there.
fn links(found_by_cache: &[(OsString, PathBuf)]) -> Vec<(PathBuf, PathBuf)> {
    let directory = |path: &Path| path.parent().and_then(|parent| parent.canonicalize().ok());
    let Some(home) = found_by_cache.iter().find(|(name, _)| name == GLIBC).and_then(|(_, path)| directory(path)) else {
        return Vec::new();
    };
    let outside = found_by_cache.iter().filter(|(_, path)| directory(path).as_ref() != Some(&home));
    outside.map(|(name, path)| (home.join(name), path.clone())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ABI: Abi = Abi { is_64: true, is_little_endian: true, machine: 62 };

    #[test]
    fn origin_lib_and_platform_are_expanded() {
        let expand = |entry: &str| expand(OsStr::new(entry), Path::new("/opt/app/bin/app"), ABI);
        assert_eq!(expand("$ORIGIN/../lib"), [PathBuf::from("/opt/app/bin/../lib")]);
        assert_eq!(expand("${ORIGIN}"), [PathBuf::from("/opt/app/bin")]);
        assert_eq!(expand("/x/$LIB"), ["/x/lib64", "/x/lib/x86_64-linux-gnu"].map(PathBuf::from));
        assert_eq!(expand("/x/$PLATFORM/$OTHER"), [PathBuf::from("/x/x86_64/$OTHER")]);
    }

    #[test]
    fn libraries_of_musl_itself_are_known() {
        for name in ["libc.so", "libc.musl-x86_64.so.1", "libpthread.so.0", "libm.so.6"] {
            assert!(is_part_of_musl(OsStr::new(name)), "{name}");
        }
        for name in ["libcrypto.so.3", "libz.so.1", "c.so"] {
            assert!(!is_part_of_musl(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn rpath_is_inherited_and_runpath_is_not() {
        let object = |rpath: Option<&str>, runpath: Option<&str>, loaded_by| Object {
            elf: Rc::new(Elf {
                abi: ABI,
                interpreter: None,
                soname: None,
                needed: Vec::new(),
                rpath: rpath.map(OsString::from),
                runpath: runpath.map(OsString::from),
                no_default: false,
            }),
            path: "/opt/x".into(),
            loaded_by,
        };
        let objects = [
            object(Some("/a:relative"), None, None),
            object(None, Some("/b"), Some(0)),
            object(Some("/c"), None, Some(1)),
        ];
        let of = |by, flavour: &Flavour| search_path(&objects, by, flavour, ABI);
        assert_eq!(of(2, &Flavour::Glibc), ["/c", "/a"].map(PathBuf::from));
        assert_eq!(of(1, &Flavour::Glibc), ["/b"].map(PathBuf::from));
        let musl = Flavour::Musl { directories: Vec::new() };
        assert_eq!(of(2, &musl), ["/c", "/b", "/a"].map(PathBuf::from));
    }

    #[test]
    fn a_library_that_only_the_cache_knows_is_linked_beside_the_c_library() {
        let directory = tempfile::tempdir().unwrap();
        let (home, other) = (directory.path().join("lib"), directory.path().join("other"));
        for directory in [&home, &other] {
            fs::create_dir(directory).unwrap();
        }
        let found = ["libc.so.6", "libm.so.6"].map(|name| (OsString::from(name), home.join(name)));
        let far = (OsString::from("libfar.so.1"), other.join("libfar.so.1"));
        let expected = [(home.canonicalize().unwrap().join("libfar.so.1"), far.1.clone())];
        let found: Vec<_> = found.into_iter().chain([far]).collect();
        assert_eq!(links(&found), expected);
        assert_eq!(links(&found[1..]), []);
    }
}
