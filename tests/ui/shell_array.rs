use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    SHELL "/bin/bash";
}

fn main() {}
