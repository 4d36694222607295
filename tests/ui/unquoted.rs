use plywood::layers;

layers! {
    struct Web;

    FROM alpine:3.20;
    WORKDIR /app;
    COPY --from="nginx" app.py => /app/;
    ENV DEBUG = true;
}

fn main() {}
