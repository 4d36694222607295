use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    WORKDIR b"/app";
    USER c"app";
    RUN 'x';
}

fn main() {}
