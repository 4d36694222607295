use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    EXPOSE {80} as HTTP;
    EXPOSE 80-81 as MANY;
}

fn main() {}
