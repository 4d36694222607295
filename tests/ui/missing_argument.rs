use plywood::layers;

layers! {
    struct Web;

    FROM as build;
    RUN;
    ENV;
    ENV A;
    USER;
    HEALTHCHECK;
    EXPOSE;
    RUN "a" &&;
    ENV A = ;
}

fn main() {}
