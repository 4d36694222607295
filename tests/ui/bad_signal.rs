use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    STOPSIGNAL SIGTREM;
}

fn main() {}
