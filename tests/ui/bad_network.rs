use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN --network=nne "true";
}

fn main() {}
