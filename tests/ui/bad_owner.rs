use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY --from="nginx" --chown="a:b:c" "/a" => "/b";
}

fn main() {}
