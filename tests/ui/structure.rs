use plywood::layers;

layers! {
    struct Words;
    FROM "debian:12";
    COPPY "Cargo.toml" => "/src";
    run "make";
    MAINTAINER "me";
    WORKDIR "/a" "/b";
    RUN;
    COPY --form=build "/a" => "/b";
    COPY --chown="1:1" --chown="2:2" "Cargo.toml" => "/b";
    COPY --link=maybe "Cargo.toml" => "/b";
    COPY --chown "Cargo.toml" => "/b";
}

layers! {
    struct NothingYet;
    CMD ["x"];
    FROM "debian:12";
}

layers! {
    struct NoBase;
    ARG VERSION = "1";
}

layers! {
    #![allow(unpined_base)]
    struct Empty;
}

fn main() {}
