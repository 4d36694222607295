use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    run "true";
}

fn main() {}
