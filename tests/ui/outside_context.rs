use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY "../x" => "/app/";
}

fn main() {}
