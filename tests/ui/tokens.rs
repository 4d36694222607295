//! What Rust's tokens make different from a Dockerfile.

use plywood::layers;

layers! {
    struct Semicolons
    FROM "debian:12"
    COPY "Cargo.toml" => "/src/"
    RUN "make";
    CMD ["serve"]
}

layers! {
    struct Comments;
    # The base.
    FROM "debian:12";
}

layers! {
    struct Quotes;
    FROM debian:12;
    WORKDIR /src;
    ENV HOME = /root;
    USER 1000:1000;
    RUN apt-get update && "make";
    COPY src/main.rs => "/src/";
    CMD [serve, "--port"];
}

layers! {
    struct Strings;
    FROM "debian:12";
    RUN b"make";
    WORKDIR c"/src";
    USER 'u';
}

layers! {
    #![allow(unused_stage)]
    struct Names;
    FROM "debian:12" as build;
    FROM "debian:12" as build;
    EXPOSE 80 as HTTP;
    EXPOSE 443 as HTTP;
    VOLUME "/data" as "DATA";
    VOLUME "/cache" as;
    EXPOSE {8080} as ADMIN;
}

layers! {
    struct Leftovers;
    FROM "debian:12";
    RUN "a" "b";
    RUN "a" && ;
    RUN "a" || "b";
    COPY "Cargo.toml" => "/b" "/c";
    ENV A;
    ENV B "x";
    "x";
    ENV C = ;
    CMD ["a" "b"];
}

fn main() {}
