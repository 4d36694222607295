use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    EXPOSE 8080;
    EXPOSE 8080/tcp as HTTP;
}

fn main() {}
