use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    HEALTHCHECK --interval=1us CMD ["x"];
}

fn main() {}
