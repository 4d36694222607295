use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    MAINTAINER "me";
}

fn main() {}
