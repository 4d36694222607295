use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN --mount=type=cache,target="/x",sharing=lock "true";
}

fn main() {}
