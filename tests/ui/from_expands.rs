use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    ARG TAG = "1";
    COPY --from="nginx:$TAG" "/a" => "/b";
}

fn main() {}
