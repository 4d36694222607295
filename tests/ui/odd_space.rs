use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN "echo a";
    RUN r"
        echo a
        echo b
    ";
}

fn main() {}
