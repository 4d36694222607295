use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY --from="nginx" --chmod=0999 "/a" => "/b";
    COPY --from="nginx" --chmod="rwx" "/a" => "/b";
}

fn main() {}
