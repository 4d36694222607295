use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY --form="nginx" "/a" => "/b";
    RUN --bogus "true";
    WORKDIR --x "/a";
}

fn main() {}
