use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12" as scratch;
}

fn main() {}
