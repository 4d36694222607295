use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    WORKDIR "~/src";
}

fn main() {}
