use plywood::layers;

layers! {
    struct Web { workers: u16 }
    FROM "debian:12";
    ENV WORKERS = {self.workers};
}

fn main() {
    let _ = Web {};
}
