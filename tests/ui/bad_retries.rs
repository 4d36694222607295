use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    HEALTHCHECK --retries=0 CMD ["x"];
}

fn main() {}
