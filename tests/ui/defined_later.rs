use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    WORKDIR "$APP_DIR";
    ENV APP_DIR = "/app";
}

fn main() {}
