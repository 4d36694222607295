use plywood::layers;

layers! {
    struct Web;

    FROM "https://docker.io/library/debian:12";
}

fn main() {}
