use plywood::layers;

layers! {
    struct Web;

    FROM scratch;
    USER "app";
}

fn main() {}
