use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    VOLUME "/data";
    VOLUME "/data/" as DATA;
}

fn main() {}
