use plywood::layers;

layers! {
    struct Web;

    FROM "Alpine:3.20";
}

fn main() {}
