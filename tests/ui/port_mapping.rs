use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    EXPOSE 8080:80;
}

fn main() {}
