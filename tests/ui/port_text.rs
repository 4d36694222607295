use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    EXPOSE "80";
    EXPOSE http;
}

fn main() {}
