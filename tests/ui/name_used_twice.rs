use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    EXPOSE 80 as HTTP;
    VOLUME "/data" as HTTP;
}

fn main() {}
