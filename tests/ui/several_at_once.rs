use plywood::layers;

layers! {
    struct Web;

    FROM "Debian";
    COPPY << "a" => "/b";
    USER "a b";
    EXPOSE 99999 as HTTP;
    STOPSIGNAL SIGTREM;
}

fn main() {}
