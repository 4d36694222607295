use plywood::layers;

layers! {
    struct Web;

    ARG A = "1";
}

fn main() {}
