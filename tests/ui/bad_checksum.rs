use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    ADD --checksum="sha256:abc" "https://example.com/a" => "/a";
}

fn main() {}
