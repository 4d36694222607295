use plywood::layers;

struct Opaque;

fn main() {
    let _ = layers! { FROM "debian:12"; ENV A = {Opaque}; };
}
