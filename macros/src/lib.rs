//! The macros `layers!` and `dockerfile!`.
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

#[cfg(test)]
mod tests;

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

fn layers_tokens(input: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let mut definition = parse::definition(input, false);
    let files = context::PackageFiles::open(definition.context.as_deref(), None);
    report::check(&mut definition, files.as_ref());
    embed::read(&mut definition, files.as_ref());
    expand::definition(&definition)
}

fn dockerfile_tokens(input: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let mut definition = parse::definition(input, true);
    file::read(&mut definition);
    expand::definition(&definition)
}
