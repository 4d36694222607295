//! What the types of Rust refuse.

use plywood::{MountPoint, Port, layers};

layers! {
    struct Db;
    FROM "postgres:16";
    EXPOSE 5432 as SQL;
    VOLUME "/var/lib/postgresql" as DATA;
}

layers! {
    struct Web {
        workers: u16,
    }
    FROM "debian:12";
    ENV WORKERS = {self.workers};
    EXPOSE 8080 as HTTP;
}

struct Hidden;

layers! {
    struct Odd;
    FROM String;
    ENV HIDDEN = {Hidden};
    RUN {self.nothing};
}

fn open(_: Port<Web>) {}
fn keep(_: MountPoint<Web>) {}

fn main() {
    let _ = Web {};
    open(Web::HTTPS);
    open(Db::SQL);
    keep(Db::DATA);
}
