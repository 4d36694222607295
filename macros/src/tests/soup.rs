//! Tokens in any order, right definitions with something changed, and definitions that are not finished yet.
//!
//! `PLYWOOD_FUZZ_ROUNDS=100` makes it a hundred times as long.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A fixed generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

fn rounds() -> usize {
    std::env::var("PLYWOOD_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// A definition that has all instructions and most flags.
const WHOLE: &str = r##"
    #![allow(unpinned_base)]
    /// The web server.
    #[derive(Clone)]
    pub struct Web { pub workers: u16 }
    ARG DEBIAN = "12";
    FROM "rust:1.95-slim" as build;
    WORKDIR "/src";
    COPY "src" => "src/";
    RUN --mount=type=cache,target="/usr/local/cargo/registry" "cargo build --release" && "true";
    FROM --platform="linux/amd64" "debian:$DEBIAN";
    ENV WORKERS = {self.workers} LOG = "info";
    LABEL org.opencontainers.image.title = "web";
    #[cfg(unix)]
    RUN --network=none ["a", "b"];
    COPY --from=build --chmod=0755 --embed "/src/target/release/web" => "/usr/local/bin/";
    COPY << "workers = auto\n" => "/etc/web.toml";
    ADD --checksum="sha256:00" "https://example.com/x" => "/x";
    VOLUME "/var/lib/web" as DATA;
    EXPOSE 8080 as HTTP 53/udp as DNS;
    USER 1000;
    STOPSIGNAL SIGINT;
    SHELL ["/bin/bash", "-c"];
    ONBUILD RUN "make";
    HEALTHCHECK --interval=5s --retries=3 CMD ["web", "--check"];
    CMD "x";
    ENTRYPOINT ["web"];
"##;

#[test]
fn tokens_in_any_order_do_not_panic() {
    let words = [
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "EXPOSE",
        "VOLUME",
        "HEALTHCHECK",
        "ONBUILD",
        "ARG",
        "LABEL",
        "as",
        "=",
        ">",
        "=>",
        "<<",
        "&&",
        "--",
        "-",
        "from",
        "mount",
        "type",
        "cache",
        "scratch",
        "\"a\"",
        "\"$X\"",
        "\"${\"",
        "b\"x\"",
        "'c'",
        "80",
        "5s",
        "0755",
        "1.5",
        "/",
        ":",
        "::",
        ";",
        ",",
        "{ x }",
        "{ }",
        "[\"a\", 1]",
        "(a)",
        "#",
        "#![allow(x)]",
        "#[cfg(a)]",
        "struct",
        "pub",
        "Web",
        "r#type",
        "CMD",
        "NONE",
        "USER",
        "SHELL",
        "STOPSIGNAL",
        "WORKDIR",
        "ADD",
        "!",
        ".",
        "|",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..5_000 * rounds() {
        let text: String = (0..12).map(|_| format!("{} ", words[random.below(words.len())])).collect();
        if text.parse::<TokenStream>().is_ok() {
            super::expand(&text);
        }
    }
}

/// Changes one token of a stream, perhaps within a group.
fn change(tokens: TokenStream, random: &mut Random) -> TokenStream {
    let mut trees: Vec<TokenTree> = tokens.into_iter().collect();
    if trees.is_empty() {
        return TokenStream::new();
    }
    let (at, other) = (random.below(trees.len()), random.below(trees.len()));
    match (random.below(6), trees[at].clone()) {
        (0, _) => drop(trees.remove(at)),
        (1, tree) => trees.insert(other, tree),
        (2, _) => trees.swap(at, other),
        (3, tree) => trees[other] = tree,
        (4, tree) => trees[at] = Group::new(Delimiter::Brace, tree.into()).into(),
        (_, TokenTree::Group(group)) => {
            trees[at] = Group::new(group.delimiter(), change(group.stream(), random)).into();
        }
        _ => trees.truncate(at),
    }
    trees.into_iter().collect()
}

#[test]
fn a_right_definition_with_something_changed_does_not_panic() {
    let whole: TokenStream = WHOLE.parse().unwrap();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..1_000 * rounds() {
        let mut tokens = whole.clone();
        for _ in 0..=random.below(4) {
            tokens = change(tokens, &mut random);
        }
        super::super::layers_tokens(tokens.clone());
        super::super::dockerfile_tokens(tokens);
    }
}

#[test]
fn lines_with_something_changed_do_not_panic() {
    let lines: String = super::corpus::lines().into_iter().map(|(_, text, _)| text + "\n").collect();
    let pieces: Vec<char> = lines.chars().collect();
    let mut random = Random(0x1234_5678_9abc_def1);
    for _ in 0..2_000 * rounds() {
        let start = random.below(pieces.len());
        let mut text: Vec<char> = pieces[start..].iter().take(random.below(300)).copied().collect();
        for _ in 0..random.below(5) {
            let (at, from) = (random.below(text.len()), random.below(pieces.len()));
            match random.below(3) {
                0 if !text.is_empty() => drop(text.remove(at)),
                1 => text.insert(at, pieces[from]),
                _ => text.insert(at, ['\\', '"', '\'', '$', '\n', '\r', '\u{feff}', '<', '{', '\0'][from % 10]),
            }
        }
        let text: String = text.into_iter().collect();
        let file = plywood_syntax::dockerfile::parse(&text);
        for finding in file.check(None) {
            file.excerpt(finding.place, finding.range.as_ref());
            assert!(file.position(finding.place, finding.range.as_ref()).line > 0);
        }
        let _ = plywood_syntax::shell::read(&text);
        let _ = plywood_syntax::variables::expand(&text, |_| Some("a/b".into()));
    }
}

#[test]
fn what_is_not_finished_keeps_its_names() {
    let whole: Vec<TokenTree> = WHOLE.parse::<TokenStream>().unwrap().into_iter().collect();
    let word = |tree: &TokenTree| tree.to_string();
    for end in 0..whole.len() {
        let tokens: TokenStream = whole[..end].iter().cloned().collect();
        let text = super::super::layers_tokens(tokens).to_string();
        // The name after `struct`, and each after `as`, is declared from then on.
        for (at, tree) in whole[..end].iter().enumerate() {
            let name = whole[..end].get(at + 1).map(word);
            let declared = match (word(tree).as_str(), name) {
                ("struct", Some(name)) => format!("pub struct {name}"),
                ("as", Some(name)) => format!("pub const {name} :"),
                _ => continue,
            };
            assert!(text.contains(&declared), "{declared} is not in {text}");
        }
    }
}
