use plywood::{Port, layers};

layers! {
    struct Web;
    FROM "debian:12";
    EXPOSE 8080 as HTTP;
}

layers! {
    struct Db;
    FROM "debian:12";
    EXPOSE 5432 as SQL;
}

fn connect(_: Port<Web>) {}

fn main() {
    connect(Web::HTTP);
    connect(Web::HTTPS);
    connect(Db::SQL);
}
