use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN --security=none "true";
}

fn main() {}
