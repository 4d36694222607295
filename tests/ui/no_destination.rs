use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPY "a.txt" "/app/";
    COPY "a.txt";
    COPY "a.txt" =>;
}

fn main() {}
