//! Warnings about bases, variables, files and commands.

#![allow(dead_code)]
#![deny(deprecated)]

use plywood::{dockerfile, layers};

layers! {
    #![context("../../../../tests/fixtures")]
    #![warn(runs_as_root)]
    struct Files;
    ARG SUFFIX = "slim";
    FROM --platform="$TARGETPLATFORM" "debian:12" as base;
    CMD ["serve"];
    FROM base;
    ENTRYPOINT ["serve"];
    ARG VERSION = "1";
    LABEL org.opencontainers.image.created = "today";
    ADD "web.Dockerfile" => "/etc/";
    ADD "https://example.com/a.tar" => "/opt/";
    COPY "web.Dockerfile" "embedded" => "/opt/";
    COPY "keys/server.key" => "/etc/";
    COPY "/web.Dockerfile" => "/etc/";
    VOLUME "/data";
    COPY "web.Dockerfile" => "/data/";
}

layers! {
    struct Commands;
    FROM "debian:12";
    ARG VERSION = "1";
    RUN ["make", "&&", "make install"];
    RUN "echo $VERSON";
    HEALTHCHECK CMD ["test", "-f", "/up"];
    ENTRYPOINT "serve";
    CMD ["serve -p", "$HOME"];
}

layers! {
    struct Scripts;
    FROM "debian:12";
    RUN "export A=b";
    RUN "cd /src";
    RUN "make; sudo make install";
    RUN "apt update -y && make";
    RUN "service nginx start";
    RUN "[ -f /x] && make";
    SHELL ["/bin/bash", "-c"];
    RUN "make | tee log";
}

dockerfile! {
    struct Old;
    "../../../../tests/fixtures/old.Dockerfile";
}

fn main() {}
