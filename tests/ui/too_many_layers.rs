//! One layer more than an image can have.

use plywood::layers;

layers! {
    struct TooMany;
    FROM "debian:12";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
    RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a"; RUN "a";
}

fn main() {}
