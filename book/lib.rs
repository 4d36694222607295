//! The book: `cargo test -p plywood-book` compiles the code of each chapter and of the README.

macro_rules! chapters {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(#[doc = include_str!($file)] pub mod $name {})*
    };
}

chapters! {
    readme = "../README.md",
    first_container = "src/first-container.md",
    images = "src/images.md",
    layers_macro = "src/macro.md",
    mistakes = "src/mistakes.md",
    containers = "src/containers.md",
    isolation = "src/isolation.md",
    networks = "src/networks.md",
    volumes = "src/volumes.md",
    testing = "src/testing.md",
    ci = "src/ci.md",
    command_line = "src/command-line.md",
    oci = "src/oci.md",
    data_root = "src/data-root.md",
    drivers = "src/drivers.md",
    host = "src/host.md",
    differences = "src/differences.md",
    architecture = "src/architecture.md",
    changelog = "src/changelog.md",
}

// What needs a feature.
#[cfg(feature = "tokio")]
chapters! {
    async_programs = "src/async.md",
}
