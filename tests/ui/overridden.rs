use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    CMD ["a"];
    CMD ["b"];
}

fn main() {}
