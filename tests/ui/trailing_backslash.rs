use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN "echo a \\";
}

fn main() {}
