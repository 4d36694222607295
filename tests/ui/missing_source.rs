use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY "no/such/file" => "/app/";
}

fn main() {}
