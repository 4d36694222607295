//! The macros `layers!` and `dockerfile!`, and the attributes for tests.
//!
//! Tokens are read into the tree of [`plywood_syntax::ast`], the checks of [`plywood_syntax::checks`] look at it, and
//! it is written out as calls of the builder. Nothing stops at the first mistake: every instruction is read on its own,
//! and after a mistake the type and its constants are declared all the same.

mod context;
mod embed;
mod expand;
mod file;
mod literal;
mod parse;
mod report;
mod source;
mod template;
mod test;

#[cfg(test)]
mod tests;

use plywood_syntax::checks;

/// Declares an image.
///
/// It is a Dockerfile with three changes: values are in quotes, `=>` stands before a destination, and `;` ends an
/// instruction. `as NAME` gives a stage, a port or a volume a Rust name, and `{ }` holds a Rust expression.
///
/// With a `struct` before the instructions it declares that type, implements `ImageDefinition` for it and gives it the
/// names as constants; its fields are the parameters of the image. Without one it is an expression of type `Layers`.
///
/// ```ignore
/// layers! {
///     /// The web server.
///     pub struct Web;
///
///     FROM "debian:12-slim";
///     RUN "apt-get update" && "apt-get install -y --no-install-recommends python3";
///     COPY "app.py" => "/app/";
///     EXPOSE 8080 as HTTP;
///     CMD ["python3", "/app/app.py"];
/// }
/// ```
#[proc_macro]
pub fn layers(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    layers_tokens(input.into()).into()
}

/// Declares the image of a Dockerfile.
///
/// The file is read and checked when the program is compiled, and again whenever it or its `.dockerignore` changes. Its
/// path is relative to the package, and so is what it copies; `#![context("docker")]` names another directory.
///
/// With a `struct` before the path it declares that type, and what follows the path gives ports and volumes of the file
/// a Rust name; without one it is an expression of type `Layers`.
///
/// ```ignore
/// dockerfile! {
///     pub struct Api;
///     "docker/Dockerfile";
///     EXPOSE 8080 as HTTP;
///     VOLUME "/data" as DATA;
/// }
/// let definition = dockerfile!("docker/Dockerfile");
/// ```
#[proc_macro]
pub fn dockerfile(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    dockerfile_tokens(input.into()).into()
}

/// A test whose parameters are made for it.
///
/// Each parameter is of a type that implements `plywood::testing::FromTest`, and each test gets its own: a type that
/// `#[plywood::template]` declares, a `Service` of a module, a `TempVolume`, an `Engine`. It may return any `Result`. When it
/// fails, the last log lines of its containers are printed; with `PLYWOOD_ON_FAIL=keep` the containers stay, and it is said
/// how to enter them.
///
/// ```ignore
/// #[plywood::test]
/// fn finds_ada(db: Users) -> Result<(), postgres::Error> {
///     let mut client = Client::connect(&db.url(), NoTls)?;
///     client.query_one("SELECT id FROM users WHERE name = 'ada'", &[])?;
///     Ok(())
/// }
/// ```
///
/// It may be `async` with the feature `tokio`: it runs on a runtime of its own with one thread, or, as `#[tokio::test]`, with
/// more if it says `#[plywood::test(flavor = "multi_thread", worker_threads = 2)]`. The parameters are made before that.
#[proc_macro_attribute]
pub fn test(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    test::expand(arguments.into(), item.into(), test::HAS_RUNTIME).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Declares the type of a prepared service, for the parameters of tests.
///
/// The function prepares it; the type has the function's name in camel case, and is a `Service` to whoever uses it. It is
/// prepared once for each hash of its inputs: the image and the container, the function's own text, and what is named:
///
/// * `files("migrations", "seed.sql")`: files and directories, relative to the package;
/// * `input = env!("CARGO_PKG_VERSION")`: a text, for what the function's own text does not tell;
/// * `module = Postgres::image("postgres:16")`: the service, if it is not the module's default.
///
/// ```ignore
/// #[plywood::template(files("migrations"))]
/// fn users(db: &Service<Postgres>) -> Result<(), postgres::Error> {
///     Client::connect(&db.url(), NoTls)?.batch_execute(include_str!("../migrations/1.sql"))
/// }
///
/// #[plywood::test]
/// fn starts_empty(db: Users) {}
/// ```
#[proc_macro_attribute]
pub fn template(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    template::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn layers_tokens(input: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let mut definition = parse::definition(input, false);
    let files = context::PackageFiles::open(definition.context.as_deref(), None);
    report::check(&mut definition, files.as_ref());
    embed::read(&mut definition, files.as_ref());
    checks::in_order(&mut definition.findings);
    expand::definition(&definition)
}

fn dockerfile_tokens(input: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let mut definition = parse::definition(input, true);
    file::read(&mut definition);
    checks::in_order(&mut definition.findings);
    expand::definition(&definition)
}
