use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    VOLUME "data";
}

fn main() {}
