use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    USER "app app";
}

fn main() {}
