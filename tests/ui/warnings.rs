//! What builds and probably disappoints.

#![allow(dead_code)]
#![deny(deprecated)]

use plywood::layers;

layers! {
    #![context("../../../../tests/fixtures/whole_context")]
    struct Warned;
    FROM "rust:1" as build;
    COPY "." => "/src/";
    FROM "alpine" as unused;
    FROM "build";
    ENV DB_PASSWORD = "x";
    RUN "apt-get update";
    RUN "cd /src" && "apt-get install curl | tee log" && "[[ -f x ]]";
    CMD "serve --port 80";
}

layers! {
    #![allow(unpinned_base)]
    struct Silent;
    FROM "alpine";
    #[allow(shell_form)]
    CMD "serve --port 80";
}

fn main() {}
