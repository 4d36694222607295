use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    LABEL "My Label" = "x";
}

fn main() {}
