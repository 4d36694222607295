use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12" as build;
    COPY --from=biuld "/a" => "/b";
    FROM biuld;
    FROM frontend;
}

fn main() {}
