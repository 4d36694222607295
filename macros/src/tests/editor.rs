//! What an editor asks of the expansion: tokens that stand where the user wrote them, also in what is not finished.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// All tokens, groups opened.
fn flat(tokens: TokenStream, out: &mut Vec<TokenTree>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() != Delimiter::None || !group.stream().is_empty() => {
                flat(group.stream(), out);
            }
            token => out.push(token),
        }
    }
}

/// The words of an expansion, each with the two tokens before it and with what stands at its place in the input.
fn words(input: &str) -> Vec<(String, String, String)> {
    let mut tokens = Vec::new();
    flat(crate::layers_tokens(input.parse().unwrap()), &mut tokens);
    let before = |at: usize| tokens[at.saturating_sub(2)..at].iter().map(ToString::to_string).collect::<String>();
    let words = tokens.iter().enumerate().filter_map(|(at, token)| match token {
        TokenTree::Ident(word) => Some((before(at), word.to_string(), word.span().source_text().unwrap_or_default())),
        _ => None,
    });
    words.collect()
}

const WRITTEN: &str = r#"
    pub struct Web;
    FROM "rust:1" as build;
    ARG VERSION = "1";
    WORKDIR "/src";
    RUN --network=none "make";
    FROM "debian:12";
    ENV A = "1" B = "2";
    COPY --from=build --chmod=0755 "/x" => "/y";
    ADD --unpack=false "src" => "/y";
    EXPOSE 8080 as HTTP;
    VOLUME "/data" as DATA;
    ONBUILD RUN "make";
    STOPSIGNAL SIGINT;
    HEALTHCHECK --retries=3 CMD ["x"];
    CMD ["x"];
    FROM build;
"#;

#[test]
fn a_keyword_is_where_its_call_is() {
    let words = words(WRITTEN);
    let calls: Vec<(&str, &str)> = words
        .iter()
        .filter(|(before, _, source)| before.ends_with('.') && !source.is_empty())
        .map(|(_, word, source)| (word.as_str(), source.as_str()))
        .collect();
    let expected = [
        ("from", "FROM"),
        ("stage", "FROM"),
        ("arg", "ARG"),
        ("workdir", "WORKDIR"),
        ("run", "RUN"),
        ("network", "network"),
        ("from", "FROM"),
        ("envs", "ENV"),
        ("instruction", "COPY"),
        ("from", "from"),
        ("chmod", "chmod"),
        ("instruction", "ADD"),
        ("no_unpack", "unpack"),
        ("expose", "EXPOSE"),
        ("volume", "VOLUME"),
        ("on_build", "ONBUILD"),
        ("stop_signal", "STOPSIGNAL"),
        ("health_check", "HEALTHCHECK"),
        ("retries", "retries"),
        ("cmd", "CMD"),
        ("from", "FROM"),
    ];
    assert_eq!(calls, expected);
    // The type that says what the instruction does.
    for (name, keyword) in [("Copy", "COPY"), ("Add", "ADD")] {
        assert!(words.iter().any(|(_, word, source)| word == name && source == keyword), "{name}");
    }
}

#[test]
fn a_name_is_declared_and_used_where_it_stands() {
    let words = words(WRITTEN);
    let of = |wanted: &str| -> Vec<(&str, &str)> {
        let found = words.iter().filter(|(_, word, _)| word == wanted);
        found.map(|(before, _, source)| (before.as_str(), source.as_str())).collect()
    };
    assert_eq!(of("build"), [("pubconst", "build"), ("::", "build"), ("::", "build")]);
    assert_eq!(of("HTTP"), [("pubconst", "HTTP"), ("::", "HTTP")]);
    assert_eq!(of("DATA"), [("pubconst", "DATA"), ("::", "DATA")]);
}

#[test]
fn the_first_letters_of_an_instruction_are_a_path_to_complete() {
    for (part, rest) in [("CO", ""), ("C", ""), ("CO", ";"), ("E", "\n"), ("anything", "")] {
        for header in ["pub struct Web;", ""] {
            let text = super::expand(&format!("{header} FROM \"a:1\"; {part}{rest} EXPOSE 8080 as HTTP;"));
            let path = format!(":: plywood :: image :: keywords :: {part}");
            // Editors take the first token at a place.
            let (path, error) = (text.find(&path), text.find("compile_error"));
            assert!(path.is_some() && path < error, "{text}");
            assert_eq!(text.contains("pub const HTTP"), !header.is_empty(), "{text}");
        }
    }
}
