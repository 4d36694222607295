//! Each mistake that a shell would stumble over.

use plywood::layers;

layers! {
    struct Rows;
    FROM "debian:12";
    RUN "echo \"a";
    RUN "echo `a";
    RUN "echo ${a";
    RUN r"
        for i in a b; do
            make
        fi
    ";
    RUN "make; done";
    RUN "for $i in a; do make; done";
    RUN "make |";
    RUN "&& make";
    RUN "make; ; make";
    RUN "make ;; make";
    RUN "case x in a b";
    RUN "make )";
    RUN "make ( all";
    RUN "make >";
    RUN "if make; then fi";
    RUN "echo ${}";
    RUN "echo ${a b}";
    RUN r"
        cat <<END
        text
    ";
}

fn main() {}
