use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12" as build;
    COPY --from=build "/a" => "/b";
}

fn main() {}
