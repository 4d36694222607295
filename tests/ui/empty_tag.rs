use plywood::layers;

layers! {
    struct Web;

    FROM "debian:";
}

fn main() {}
