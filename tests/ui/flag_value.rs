use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY --from="nginx" --chown --link="x" "/a" => "/b";
}

fn main() {}
