use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    # a comment in words
    RUN "true";
}

fn main() {}
