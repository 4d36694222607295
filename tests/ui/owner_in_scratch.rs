use plywood::layers;

layers! {
    struct Web;

    FROM scratch;
    COPY --from="nginx" --chown="app:1000" "/a" => "/b";
}

fn main() {}
