use plywood::layers;

layers! {
    struct Web;

    FROM "foo_";
    FROM "a..b";
}

fn main() {}
