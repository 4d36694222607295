use plywood::layers;

layers! {
    struct Web;

    FROM --platform="linux/amd46" "debian:12";
}

fn main() {}
