use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY --from="nginx" "/a" "/b" => "/app";
}

fn main() {}
