use plywood::layers;

layers! {
    struct Flags;
    FROM "debian:12";
    RUN --mount=type=cahce,target="/x" "make";
    RUN --mount=type=tmpfs,target="/x",sharing=shared "make";
    RUN --mount=type=cache "make";
    RUN --mount="type=cache,target=/x,sharing=lock" "make";
    RUN --mount "make";
    RUN --network=nne "make";
    RUN --security=x "make";
    RUN -- "make";
    RUN --netwrok=none "make";
    HEALTHCHECK --interval=5x CMD ["a"];
}

layers! {
    #![allow(unused_stage)]
    struct Health;
    FROM "debian:12" as a;
    HEALTHCHECK --interval=5us CMD ["a"];
    FROM "debian:12" as b;
    HEALTHCHECK --retries=0 CMD ["a"];
    FROM "debian:12" as c;
    HEALTHCHECK --retries=1 NONE;
    FROM "debian:12" as d;
    HEALTHCHECK ["a"];
}

fn main() {}
