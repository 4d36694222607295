use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    WORKDIR "/a" "/b";
    RUN "a" "b";
    USER "a" ["b"];
}

fn main() {}
