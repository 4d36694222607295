use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12:1";
    FROM "debian!";
}

fn main() {}
