use plywood::layers;

layers! {
    struct Variables;
    ARG VERSION = "12";
    FROM "debian:$VERSION";
    WORKDIR "/$LATER";
    ENV LATER = "x";
    ARG APP_DIR = "/app";
    WORKDIR "$APP_DRI";
    COPY "Cargo.toml" => "/x/$VERSION/";
    ENV OPEN = "${A" NONE = "$" MODIFIER = "${A:x}";
    ENV A = "1" B = "$A" A = "2";
    ENV my-var = "x";
    ENV "quoted" = "x";
    LABEL "My Label" = "x";
    WORKDIR "a \"\u{e9}\" $NOWHERE";
}

fn main() {}
