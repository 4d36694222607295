use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    WORKDIR "/app"
    RUN "true";
    CMD ["x"]
}

fn main() {}
