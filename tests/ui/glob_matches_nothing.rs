use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY "*.nothing" => "/app/";
}

fn main() {}
