use plywood::layers;

layers! {
    struct Web;

    FROM scratch;
    RUN "true";
}

fn main() {}
