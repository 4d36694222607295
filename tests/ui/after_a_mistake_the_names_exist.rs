use plywood::{ImageDefinition, layers};

layers! {
    struct Web { workers: u16 }
    FROM "Debian" as build;
    EXPOSE 8080 as HTTP;
    VOLUME "/data" as DATA;
}

fn main() {
    let web = Web { workers: 1 };
    let _ = (web.layers(), web.workers, Web::HTTP, Web::DATA, Web::build);
    let _ = layers! { FROM "Debian"; }.instructions().len();
}
