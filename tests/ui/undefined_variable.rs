use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    ENV APP_DIR = "/app";
    WORKDIR "$APP_DRI";
    USER "$NOBODY";
}

fn main() {}
