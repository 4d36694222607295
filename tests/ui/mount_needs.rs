use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN --mount=type=cache,id=a "true";
    RUN --mount=type=secret "true";
}

fn main() {}
