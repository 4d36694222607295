use plywood::layers;

layers! {
    struct Stages;
    FROM "rust:1" as build;
    COPY --from=biuld "/a" => "/a";
    COPY --from=build "/b" => "/b";
    COPY --from=run "/c" => "/c";
    COPY --from="$IMAGE" "/d" => "/d";
    COPY --from=scratch "/e" => "/e";
    FROM "debian:12" as build;
    FROM "debian:12" as run;
    FROM biuld;
}

fn main() {}
