//! Expansion outside the compiler: input in any order never panics, and names survive mistakes.

#![allow(clippy::unwrap_used)]

mod corpus;
mod editor;
mod embed;
mod expansion;
mod soup;

use proc_macro2::TokenStream;

fn expand(input: &str) -> String {
    let tokens: TokenStream = input.parse().unwrap();
    super::layers_tokens(tokens).to_string()
}

#[test]
fn a_definition_becomes_calls_of_the_builder() {
    let text = expand(
        r#"pub struct Web; FROM "debian:12" as build; RUN "a" && "b"; COPY --chmod=0755 "src" => "/y"; EXPOSE 80 as HTTP;"#,
    );
    for part in [
        "pub struct Web ;",
        "impl :: plywood :: ImageDefinition for Web",
        "pub const HTTP : :: plywood :: Port < Web > = :: plywood :: Port :: tcp (80) ;",
        ". from (\"debian:12\") . stage (\"build\")",
        ". run (:: plywood :: image :: Run :: all ([\"a\" , \"b\"]))",
        ". instruction (:: plywood :: image :: Copy :: of (\"src\") . to (\"/y\") . chmod (\"0755\"))",
        ". expose (Web :: HTTP)",
    ] {
        assert!(text.contains(part), "{part}\nin {text}");
    }
    assert!(!text.contains("compile_error"), "{text}");
}

#[test]
fn all_mistakes_are_shown_and_the_names_are_declared() {
    let text = expand(
        r#"struct Web { n: u8 } FROM "Debian" as build; COPPY "src" => "/b"; EXPOSE 80800 as HTTP; VOLUME "x" as DATA; USER;"#,
    );
    assert_eq!(text.matches("compile_error").count(), 5, "{text}");
    for name in ["const build", "const HTTP", "const DATA", "struct Web { n : u8 }", "unreachable"] {
        assert!(text.contains(name), "{name} in {text}");
    }
}

#[test]
fn an_async_test_waits_in_a_runtime_of_the_kind_that_was_asked_for() {
    let text = |arguments: &str, function: &str, has_runtime| {
        let tokens = crate::test::expand(arguments.parse().unwrap(), function.parse().unwrap(), has_runtime);
        tokens.unwrap_or_else(syn::Error::into_compile_error).to_string()
    };
    for (arguments, function, call) in [
        ("", "fn a() {}", "| test | { body () }"),
        ("", "async fn a() {}", ":: plywood :: testing :: block_on (body ())"),
        ("flavor = \"current_thread\"", "async fn a() {}", ":: plywood :: testing :: block_on (body ())"),
        (
            "flavor = \"multi_thread\"",
            "async fn a() {}",
            "block_on_threads (:: core :: option :: Option :: None , body ())",
        ),
        (
            "flavor = \"multi_thread\", worker_threads = 2,",
            "async fn a() {}",
            "block_on_threads (:: core :: option :: Option :: Some (2) , body ())",
        ),
    ] {
        let text = text(arguments, function, true);
        assert!(text.contains(call) && !text.contains("compile_error"), "{text}");
    }
    let text = text("", "async fn a() {}", false);
    assert!(text.contains("compile_error") && text.contains("enable the feature `tokio` of plywood"), "{text}");
}

#[test]
fn warnings_can_be_switched_off_and_made_errors() {
    let shown = |options: &str, before: &str| {
        let text = expand(&format!("{options} FROM \"alpine:3\"; {before} RUN \"\u{201c}x\u{201d}\";"));
        (text.matches("compile_error").count(), text.matches("deprecated").count())
    };
    let warned = |options: &str, before: &str| {
        let text = expand(&format!("{options} {before} FROM \"alpine\"; RUN \"x\";"));
        (text.matches("compile_error").count(), text.matches("# [deprecated").count())
    };
    assert_eq!(warned("", ""), (0, 1));
    assert_eq!(warned("#![allow(unpinned_base)]", ""), (0, 0));
    assert_eq!(warned("", "#[allow(unpinned_base)]"), (0, 0));
    assert_eq!(warned("#![deny(unpinned_base)]", ""), (1, 0));
    assert_eq!(warned("#![warn(runs_as_root)]", ""), (0, 2));
    let copied = |from: &str| {
        let text = expand(&format!("FROM \"a:1\" as build; FROM \"a:1\"; COPY --from={from} \"/a\" => \"/a\";"));
        text.contains("_ :: stage_as_image") || text.contains("const stage_as_image")
    };
    assert_eq!((copied("\"build\""), copied("build")), (true, false));
    // An error stays one, whatever is said.
    assert_eq!(shown("", ""), (2, 0));
    assert_eq!(shown("#![allow(typographic)]", "#[allow(typographic)]"), (2, 0));
    assert_eq!(shown("#![alow(typographic)]", ""), (3, 0));
}

#[test]
fn a_dockerfile_that_is_not_there_is_a_mistake() {
    let text = super::dockerfile_tokens("pub struct Web; \"no/Dockerfile\";".parse().unwrap()).to_string();
    assert!(text.contains("`no/Dockerfile` cannot be read") && text.contains("struct Web"), "{text}");
    assert!(super::dockerfile_tokens("".parse().unwrap()).to_string().contains("needs the path"));
    let deep: TokenStream = "ONBUILD ".repeat(10_000).parse().unwrap();
    assert!(super::layers_tokens(deep).to_string().contains("cannot be"));
}

/// Runs this test again in a process that does not know the package.
#[test]
fn without_a_package_the_macros_say_what_they_miss() {
    const NAME: &str = "tests::without_a_package_the_macros_say_what_they_miss";
    if std::env::var_os("CARGO_MANIFEST_DIR").is_some() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let status = again.args(["--exact", NAME]).env_remove("CARGO_MANIFEST_DIR").status().unwrap();
        return assert!(status.success());
    }
    let text = expand("struct A; FROM \"debian:12\"; COPY --embed \"src\" => \"/x/\"; COPY \"none\" => \"/y\";");
    assert_eq!(text.matches("compile_error").count(), 1, "{text}");
    assert!(text.contains("there is no build context to embed from"), "{text}");
    let text =
        super::dockerfile_tokens("pub struct Web; \"Dockerfile\"; EXPOSE 80 as HTTP;".parse().unwrap()).to_string();
    assert_eq!(text.matches("compile_error").count(), 1, "{text}");
    for part in ["`Dockerfile` cannot be found", "set `CARGO_MANIFEST_DIR`", "struct Web", "const HTTP"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // What needs no file is as ever.
    assert!(expand("FROM \"debian:12\"; COPY \"none\" => \"/y\";").ends_with(". copy (\"none\" , \"/y\")"));
}
