use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12 slim";
}

fn main() {}
