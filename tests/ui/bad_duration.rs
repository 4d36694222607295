use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    HEALTHCHECK --interval=5x CMD ["x"];
}

fn main() {}
