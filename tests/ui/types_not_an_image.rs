use plywood::layers;

fn main() {
    let _ = layers! { FROM String; };
}
