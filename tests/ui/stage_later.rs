use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY --from=build "/a" => "/b";
    FROM "debian:12" as build;
}

fn main() {}
