use plywood::layers;

layers! {
    #![allow(unused_stage)]
    struct Names;
    FROM "Alpine:3" as a;
    FROM "https://example.com/alpine:3" as b;
    FROM "debian:12 slim" as c;
    FROM "a:b:c" as d;
    FROM "foo_:1" as e;
    FROM "-x.y/a:1" as f;
    FROM ":1" as g;
    FROM "debian:" as h;
    FROM "debian@sha256:00" as i;
    FROM "0123456789012345678901234567890123456789012345678901234567890123" as j;
    FROM --platform="linux/amd46" "debian:12" as k;
    FROM "debian:$VERSION" as l;
    FROM scratch as scratch;
}

layers! {
    #![allow(unused_stage)]
    struct Long;
    FROM "debian:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" as a;
    FROM "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1" as b;
    FROM "debian:12";
}

fn main() {}
