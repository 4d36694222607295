use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    #[allow(unpined_base)]
    RUN "true";
}

fn main() {}
