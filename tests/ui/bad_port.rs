use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    EXPOSE 80800 as HTTP;
}

fn main() {}
