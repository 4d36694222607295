use plywood::layers;

layers! {
    struct Web;

    ARG VERSION = "12";
    FROM "debian:$VERSOIN";
    FROM "debian:$TAG";
}

fn main() {}
