use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    EXPOSE 53/upd;
}

fn main() {}
