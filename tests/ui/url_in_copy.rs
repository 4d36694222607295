use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY "https://example.com/a" => "/a";
}

fn main() {}
