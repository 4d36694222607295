//! Against the shells of the host: what dash or bash accepts is accepted, and what both refuse is found.
//!
//! The scripts are those of the host, and made ones that have every construct of the language.
//! `PLYWOOD_FUZZ_ROUNDS=10` makes ten times as many.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell::read;

/// How many scripts of the host are looked at, and how long each may be.
const MOST_FILES: usize = 400;
const LONGEST: u64 = 64 * 1024;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

fn rounds() -> usize {
    std::env::var("PLYWOOD_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// Whether a shell of the host accepts a script; `None` where the host has no such shell.
fn accepts(shell: &str, script: &str) -> Option<bool> {
    let mut command = Command::new(shell);
    let command = command.arg("-n").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    // One that has seen enough does not read on.
    let _ = child.stdin.take().map(|mut input| input.write_all(script.as_bytes()));
    Some(child.wait().ok()?.success())
}

/// Scripts that the host has, each with its shell.
fn host_scripts() -> Vec<(&'static str, PathBuf, String)> {
    let mut open: Vec<PathBuf> = ["/etc", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/share"].map(PathBuf::from).into();
    let mut found = Vec::new();
    while let Some(directory) = open.pop().filter(|_| found.len() < MOST_FILES) {
        let mut entries: Vec<_> = std::fs::read_dir(&directory).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (Ok(kind), path) = (entry.file_type(), entry.path()) else { continue };
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file()
                && found.len() < MOST_FILES
                && let Some((shell, text)) = script(&path)
            {
                found.push((shell, path, text));
            }
        }
    }
    found
}

/// A file that begins as a script for a shell does.
fn script(path: &Path) -> Option<(&'static str, String)> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).ok()?;
    let mut start = [0; 2];
    file.read_exact(&mut start).ok().filter(|()| &start == b"#!")?;
    file.metadata().ok().filter(|metadata| metadata.len() <= LONGEST)?;
    let mut text = "#!".to_owned();
    file.read_to_string(&mut text).ok()?;
    let line = text.lines().next()?.trim_end();
    let program = line.trim_start_matches("#!").split_whitespace().find(|word| !word.ends_with("/env"))?;
    match program.rsplit('/').next()? {
        "sh" | "dash" => Some(("dash", text)),
        "bash" => Some(("bash", text)),
        _ => None,
    }
}

/// A made list of commands.
fn list(random: &mut Random, depth: usize) -> String {
    let mut out = command(random, depth);
    for _ in 0..random.below(3) {
        out.push_str(random.pick(&["; ", " && ", " || ", " | ", "\n", " &\n"]));
        out.push_str(&command(random, depth));
    }
    // No shell has that; within `$((` bash looks only when it runs.
    out.replace("| ! ", "| ")
}

fn command(random: &mut Random, depth: usize) -> String {
    let redirection = random.pick(&["", "", "", " >out", " 2>&1", " <in >>log", " 3<&-", " &>/dev/null", " <<<x"]);
    if depth == 0 {
        return simple(random) + redirection;
    }
    let inner = |random: &mut Random| list(random, depth - 1);
    let made = match random.below(12) {
        0 => format!("if {}\nthen {}\nelse {}\nfi", inner(random), inner(random), inner(random)),
        1 => format!("while {}; do {}\ndone", simple(random), inner(random)),
        2 => format!("for i in a \"$b\" *.c; do {}\ndone", inner(random)),
        3 => format!("case \"$1\" in a|b) {}\n;; (c*) {}\n;; *) esac", inner(random), inner(random)),
        4 => format!("( {}\n)", inner(random)),
        5 => format!("{{ {}\n}}", inner(random)),
        6 => format!("f() {{ {}\n}}", inner(random)),
        7 => format!("x=$({}\n)", inner(random)),
        8 => format!("echo \"a $({}\n) b\"", inner(random)),
        9 => format!("until ! {}; do {}\ndone", simple(random), inner(random)),
        10 => return simple(random) + redirection,
        _ => return format!("cat <<END\na $b \"`c`\nEND\n{}", inner(random)),
    };
    made + redirection
}

fn simple(random: &mut Random) -> String {
    let words = [
        "a",
        "-x",
        "\"$b\"",
        "'c; d'",
        "${e:-f}",
        "$((1 + 2))",
        "`g`",
        "h\\ i",
        "[0-9]*",
        "${j%.*}",
        "k=l",
        "\"m `n` ${o}\"",
        "$(p q)",
        "{r,s}",
        "~/t",
        "u#v",
        "$@",
        "\"$#\"",
        "w\\\n  x",
        "!",
    ];
    let first =
        random.pick(&["make", "A=b make", "[ -f x ] && make", "[[ -n $x ]]", "echo", "! make", "set -e; cd", ":"]);
    let words: String = (0..random.below(4)).map(|_| format!(" {}", random.pick(&words))).collect();
    if first.ends_with(']') { first.to_owned() } else { format!("{first}{words}") }
}

#[test]
fn scripts_of_the_host_that_run_are_accepted() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (shell, path, text) in host_scripts() {
        // One for dash may be one for bash as well: `sh` is either.
        if accepts(shell, &text) == Some(true) || shell == "dash" && accepts("bash", &text) == Some(true) {
            seen += 1;
            wrong.extend(read(&text).err().map(|problem| format!("{path:?}: {problem:?}")));
        }
    }
    assert!(wrong.is_empty(), "{} of {seen}: {}", wrong.len(), wrong.join("\n"));
    assert!(seen > 0 || accepts("bash", ":").is_none() && accepts("dash", ":").is_none(), "the host has no scripts");
}

#[test]
fn made_scripts_that_run_are_accepted() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 * rounds() {
        let text = list(&mut random, 2);
        if accepts("bash", &text) == Some(true) || accepts("dash", &text) == Some(true) {
            assert_eq!(read(&text).err(), None, "{text}");
        }
    }
}

#[test]
fn what_no_shell_accepts_is_found() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut refused, mut missed) = (0, Vec::new());
    let mut distances = Vec::new();
    for _ in 0..400 * rounds() {
        // Of what stands in `[[ … ]]` only the end is looked for.
        let text = list(&mut random, 2).replace("[[ -n $x ]]", "test -n $x");
        if accepts("bash", &text) != Some(true) {
            continue;
        }
        // One token less, once more, or in another place.
        let pieces: Vec<&str> = text.split_inclusive([' ', '\n', ';', ')', '"', '`']).collect();
        let (at, from) = (random.below(pieces.len()), random.below(pieces.len()));
        let mut changed = pieces.clone();
        match random.below(3) {
            0 => drop(changed.remove(at)),
            1 => changed.insert(at, pieces[from]),
            _ => changed.insert(
                at,
                random.pick(&["fi\n", "done\n", ") ", "do ", "\"", "then ", "&& ", "; ", "}\n", "(", "' "]),
            ),
        }
        let place: usize = pieces[..at].iter().map(|piece| piece.len()).sum();
        let changed = changed.concat();
        if accepts("dash", &changed) != Some(false) || accepts("bash", &changed) != Some(false) {
            continue;
        }
        refused += 1;
        match read(&changed) {
            Ok(_) => {
                missed.push(changed.chars().skip(place.saturating_sub(15)).take(40).collect::<String>());
            }
            Err(problem) => distances.push(problem.range.start.abs_diff(place)),
        }
    }
    distances.sort_unstable();
    assert!(missed.len() * 100 <= refused, "{} of {refused}:\n{}", missed.len(), missed.join("\n---\n"));
    // Most are shown where the change is.
    assert!(distances.get(distances.len() / 2).is_none_or(|median| *median <= 20), "{distances:?}");
}
