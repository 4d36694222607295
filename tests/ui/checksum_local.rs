use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    ADD --checksum="sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "/" => "/a/";
}

fn main() {}
