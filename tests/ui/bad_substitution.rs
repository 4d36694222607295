use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    ENV A = "${B";
    ENV C = "a $ b";
    ENV D = "${PATH:x}";
}

fn main() {}
