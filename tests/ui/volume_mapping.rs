use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    VOLUME "/srv:/data";
}

fn main() {}
