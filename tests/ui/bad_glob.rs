use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY --from="nginx" "/[a-" => "/app/";
}

fn main() {}
