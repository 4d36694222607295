//! What cannot become part of the program.

use plywood::layers;

layers! {
    #![context("../../../../tests/fixtures/context")]
    struct Embedding;
    FROM "debian:12" as build;
    FROM "debian:12";
    ENV DIR = "conf";
    COPY --embed "conf/app.tml" => "/etc/";
    COPY --embed "outside" => "/etc/";
    COPY --embed "../embedded/app.py" => "/etc/";
    COPY --embed "$DIR/app.toml" => "/etc/";
    COPY --embed {format!("conf/app.toml")} => "/etc/";
    COPY --embed --from=build "/app" => "/app";
    COPY --embed << "x = 1\n" => "/etc/app.toml";
    COPY --embed=maybe "conf/app.toml" => "/etc/";
    ADD --embed "https://example.com/a.tar" => "/opt/";
    ONBUILD COPY --embed "conf/app.toml" => "/etc/";
}

fn main() {}
