use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    ENV my-var = "x";
    ARG "2" = "x";
    ENV "A" = "x";
}

fn main() {}
