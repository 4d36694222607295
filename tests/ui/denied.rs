use plywood::layers;

layers! {
    #![deny(unpinned_base, runs_as_root)]
    struct Denied;
    FROM "alpine";
    #[alow(unpinned_base)]
    RUN "make";
    #[allow(unpined_base)]
    RUN "make";
}

layers! {
    #![contxt("docker")]
    struct Options;
    FROM "debian:12";
}

fn main() {}
