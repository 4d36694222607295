use plywood::layers;

layers! {
    struct Web;
}

fn main() {}
