//! The house rules that a compiler does not check: who may use whom, sizes, unsafe, and the top level.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use support::workspace;

/// Modules of the SDK in the order in which to read them, each with those it may use. The book draws this table.
const MAY_USE: &[(&str, &str)] = &[
    ("error", ""),
    ("sys", ""),
    ("spec", "error sys"),
    ("logs", "error spec sys"),
    ("runtime", "error spec sys logs"),
    ("data_root", "error spec sys"),
    ("archive", "error spec sys"),
    ("driver", "error spec sys data_root archive"),
    ("layer", "error spec sys data_root archive driver"),
    ("image", "error spec sys data_root archive driver layer"),
    ("volume", "error spec sys data_root archive driver layer"),
    ("network", "error spec sys"),
    ("host", "error spec sys"),
    ("container", "error spec sys logs runtime data_root archive driver layer image volume network host"),
    ("build", "error spec sys logs runtime data_root archive driver layer image volume network host container"),
    ("prune", "error spec sys logs runtime data_root archive driver layer image volume network host container build"),
    ("fsck", "error spec sys logs runtime data_root archive driver layer image volume network host container build"),
    (
        "engine",
        "error spec sys logs runtime data_root archive driver layer image volume network host container build prune fsck",
    ),
    (
        "testing",
        "error spec sys logs runtime data_root archive driver layer image volume host container build prune fsck engine",
    ),
    ("aio", "error spec sys logs container build image volume prune engine"),
    ("doctor", "error sys runtime engine"),
    ("fuzzing", "spec logs archive image volume engine"),
];

const LONGEST_FILE: usize = 500;

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Whether a file of a crate holds its tests.
fn is_test(file: &Path) -> bool {
    let inside = file.strip_prefix(workspace()).unwrap_or(file);
    inside.components().skip(1).any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// The first segments of every `crate::…` path in a source text, with their lines.
fn used_modules(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            // `$crate::` is a macro's own affair; `plywood_crate::` is another word.
            if at > 0 && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &code[at + "crate::".len()..];
            if let Some(group) = rest.strip_prefix('{') {
                for name in group.split(['}', ',']).map(first_segment).filter(|name| !name.is_empty()) {
                    found.push((number + 1, name));
                }
            } else {
                found.push((number + 1, first_segment(rest)));
            }
        }
    }
    found
}

fn first_segment(path: &str) -> String {
    path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn each_module_uses_only_what_is_below_it() {
    let source = workspace().join("sdk/src");
    let mut wrong = Vec::new();
    for (module, may_use) in MAY_USE {
        let allowed: BTreeSet<&str> = may_use.split_whitespace().chain([*module]).collect();
        let single = source.join(format!("{module}.rs"));
        let mut files = if source.join(module).is_dir() { rust_files(&source.join(module)) } else { Vec::new() };
        files.extend(single.is_file().then_some(single));
        assert!(!files.is_empty(), "the house plan names `{module}`, which has no file");
        for file in files {
            for (line, used) in used_modules(&fs::read_to_string(&file).unwrap()) {
                // The root re-exports the public names: tests may use them all, the code only those of `error`.
                let public = used.starts_with(|c: char| c.is_uppercase());
                if public && (is_test(&file) || ["Error", "ErrorKind", "Result"].contains(&used.as_str())) {
                    continue;
                }
                if !allowed.contains(used.as_str()) {
                    wrong.push(format!("{}:{line}: `{module}` may not use `{used}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn modules_are_declared_in_reading_order() {
    let lib = fs::read_to_string(workspace().join("sdk/src/lib.rs")).unwrap();
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod ")))
        .filter_map(|rest| rest.strip_suffix(';'))
        .collect();
    let planned: Vec<&str> = MAY_USE.iter().map(|(module, _)| *module).collect();
    assert_eq!(declared, planned);
}

#[test]
fn no_file_holds_two_ideas() {
    let mut long = Vec::new();
    for dir in ["sdk", "macros", "examples", "tests", "book"] {
        for file in rust_files(&workspace().join(dir)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            if lines > LONGEST_FILE {
                long.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "files over {LONGEST_FILE} lines:\n{}", long.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is() {
    for dir in ["sdk/src", "sdk/helper", "macros/src", "macros/syntax/src", "examples"] {
        for file in rust_files(&workspace().join(dir)) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//!") || is_test(&file), "{} has no opening words", file.display());
        }
    }
}

#[test]
fn c20_unsafe_code_lives_with_the_kernel() {
    let sdk = workspace().join("sdk/src");
    // The helper is a program without a C library: `sdk/helper/`, beside `sdk/src/`.
    for file in rust_files(&sdk).into_iter().chain(rust_files(&workspace().join("macros"))) {
        let inside = file.starts_with(sdk.join("sys"));
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is_unsafe =
                ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| code.contains(word));
            assert!(inside || !is_unsafe, "{}:{}: unsafe outside sys/", file.display(), number + 1);
        }
    }
}

/// How far above a block its reason may begin, in lines.
const REASON: usize = 5;

#[test]
fn c20_each_unsafe_block_of_the_helper_has_its_reason() {
    // The compiler's checks do not reach it: `sdk/build.rs` compiles it.
    for file in rust_files(&workspace().join("sdk/helper")) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is_unsafe = ["unsafe {", "unsafe impl"].iter().any(|word| code.contains(word));
            let has_reason = lines[at.saturating_sub(REASON)..at].iter().any(|above| above.contains("// SAFETY: "));
            assert!(!is_unsafe || has_reason, "{}:{}: unsafe without a reason", file.display(), at + 1);
        }
    }
}

#[test]
fn the_top_level_holds_nothing_else() {
    let allowed = ["Cargo.toml", "Cargo.lock", "sdk", "macros", "examples", "tests", "book", "README.md", "target"];
    for entry in fs::read_dir(workspace()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = allowed.contains(&name.as_str()) || name.starts_with('.') || name.starts_with("LICENSE");
        assert!(known, "the top level has an entry that the design does not: {name}");
    }
}

#[test]
fn nothing_is_left_undone() {
    let marks = ["todo!(", "unimplemented!(", "#[ignore", concat!("FIX", "ME"), concat!("XX", "X")];
    for dir in ["sdk/src", "macros", "examples"] {
        for file in rust_files(&workspace().join(dir)) {
            let text = fs::read_to_string(&file).unwrap();
            for mark in marks {
                assert!(!text.contains(mark), "{}: {mark}", file.display());
            }
        }
    }
}

/// Cases of the design that have a test carrying their names, as in `r6_…` or `i02_r31_…`.
const CASES: &str = "
    i01 i02 i03 i04 i05 i06 i07 i08 i09 i10 i11 i12 i13
    c01 c02 c03 c04 c05 c06 c07 c08 c09 c10 c11 c12 c13 c14 c15 c16 c17 c18 c19 c20
    r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 r13 r14 r15 r16 r17 r18 r19 r20 r21 r22 r23 r24 r25 r27 r28 r29 r30 r31 r32
    r33 r34 r35 r36 r37 r38 r39 r40
    x01 x02 x03 x04 x05 x06 x07 x08 x09 x10 x11 x12 x13
";

/// What users of other tools for tests complain about: the daemon, privileged containers in CI, seconds for each container,
/// handles in a `static` that leak, ports that collide, readiness that races, waiting for one that has died, a slow stop.
const COMPLAINTS: [&str; 8] = ["daemon", "privileged", "seconds", "static", "ports", "races", "died", "stop"];

#[test]
fn each_complaint_has_a_test_of_its_name() {
    let tests = rust_files(&workspace().join("tests"));
    let texts: String = tests.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let has_none = |word: &&&str| !texts.contains(&format!("#[test]\nfn complaint_{word}_"));
    let missing: Vec<_> = COMPLAINTS.iter().filter(has_none).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_case_of_the_design_has_a_test_of_its_name() {
    let mut named = BTreeSet::new();
    for dir in ["sdk", "tests"] {
        for file in rust_files(&workspace().join(dir)) {
            let text = fs::read_to_string(file).unwrap();
            for (_, rest) in text.match_indices("#[test]\n").map(|(at, mark)| text.split_at(at + mark.len())) {
                let name = rest.trim_start().strip_prefix("fn ").unwrap_or_default();
                let is_case = |word: &&str| {
                    word.strip_prefix(['i', 'c', 'r', 'x']).is_some_and(|digits| digits.parse::<u8>().is_ok())
                };
                named.extend(name.split('_').take_while(is_case).map(str::to_owned));
            }
        }
    }
    let missing: Vec<&str> = CASES.split_whitespace().filter(|case| !named.contains(*case)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let cases: BTreeSet<&str> = CASES.split_whitespace().collect();
    let unlisted: Vec<&String> = named.iter().filter(|name| !cases.contains(name.as_str())).collect();
    assert!(unlisted.is_empty(), "they belong into the list: {unlisted:?}");
}

/// What stands for memory, locks, texts and panics: a child that shares the memory of its program has none of it.
const NOT_IN_A_CHILD: [&str; 14] = [
    "std::",
    "alloc",
    "Box",
    "Vec",
    "String",
    "Mutex",
    "Once",
    "format!",
    "print",
    "write!",
    "unwrap",
    "expect(",
    "panic",
    "impl Drop",
];

#[test]
fn r35_a_child_is_made_of_the_core_library_and_system_calls() {
    let text = fs::read_to_string(workspace().join("sdk/src/sys/child.rs")).unwrap();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let found = NOT_IN_A_CHILD.iter().find(|word| code.contains(**word));
        assert!(found.is_none(), "child.rs:{}: {found:?}", number + 1);
        // Of the C library it has constants, and no function.
        for (at, path) in code.match_indices("libc::") {
            let name = first_segment(&code[at + path.len()..]);
            assert!(name.starts_with(char::is_uppercase), "child.rs:{}: libc::{name}", number + 1);
        }
    }
}
