use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12" as build;
    FROM "debian:12" as build;
}

fn main() {}
