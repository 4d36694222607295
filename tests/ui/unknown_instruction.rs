use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    COPPY << "a" => "/b";
    EXPSOE 80;
}

fn main() {}
