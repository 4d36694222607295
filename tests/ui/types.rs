//! What the types of Rust refuse.

use plywood::container::Definition;
use plywood::{Container, MountPoint, Port, Volume, layers};

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

fn of_another(container: &Container<Web>, definition: Definition<Web>, volume: &Volume) {
    let _ = container.connect(Db::SQL);
    let _ = definition.mount(volume.at(Db::DATA));
}

fn main() {
    let _ = Web {};
    open(Web::HTTPS);
    open(Db::SQL);
    keep(Db::DATA);
}
