use plywood::layers;

layers! {
    struct Web;

    FROM "debian@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
}

fn main() {}
