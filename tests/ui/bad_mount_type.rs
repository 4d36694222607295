use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN --mount=type=cahce,target="/x" "true";
}

fn main() {}
