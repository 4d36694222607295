use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN --mount=type=bind,target="/x",sharing=locked "true";
    RUN --mount=type=cache,taget="/x",target="/x" "true";
}

fn main() {}
