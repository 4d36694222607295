use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY --from="nginx" --chown="a" --chown="b" "/a" => "/b";
}

fn main() {}
