//! A port of another definition.

use plywood::container::Ready;
use plywood::{Container, Engine, layers};

layers! {
    struct Db;
    FROM "postgres:16";
    EXPOSE 5432 as SQL;
}

layers! {
    struct Web;
    FROM "nginx:1.27";
    EXPOSE 80 as HTTP;
}

fn main() -> plywood::Result<()> {
    let engine = Engine::open_default()?;
    let web = Container::of(&Web).start(&engine)?;
    web.connect(Web::HTTP)?;
    web.connect(80)?;
    web.connect(Db::SQL)?;
    web.listen("80")?;
    Container::of(&Web).ready(Ready::port(Db::SQL)).start(&engine)?;
    Ok(())
}
