use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY << "x" => "/etc/";
}

fn main() {}
