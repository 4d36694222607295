use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    ENV A = "1" A = "2";
}

fn main() {}
