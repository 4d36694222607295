use plywood::layers;

layers! {
    pub struct Web;

    FROM rust:1.95 as build;
    RUN "if [ -f Cargo.lock ]; then cargo fetch --locked";
    CPOY "Cargo.toml" => "/src/";
    RUN "cargo build --release"

    FROM "debian:bookworm";
    ARG APP_DIR = "/srv/web";
    COPY --from=biuld "/src/target/release/web" => "/usr/local/bin/";
    COPY "Cargo.toml" "/etc/";
    WORKDIR "$APP_DRI";
    HEALTHCHECK --intervall=5s CMD ["web", "--check"];
    EXPOSE 8080:80 as HTTP;
    # The end.
    CMD ["web"];
}

fn main() {}
