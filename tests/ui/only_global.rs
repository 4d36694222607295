use plywood::layers;

layers! {
    struct Web;

    ARG VERSION = "1";
    FROM "debian:12";
    ENV V = "$VERSION";
    LABEL arch = "$TARGETARCH";
}

fn main() {}
