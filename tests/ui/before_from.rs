use plywood::layers;

layers! {
    struct Web;

    CMD ["x"];
    FROM "debian:12";
}

fn main() {}
