use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    ONBUILD FROM "debian:12";
}

fn main() {}
