use plywood::layers;

layers! {
    struct Ports;
    FROM "debian:12";
    EXPOSE 80800;
    EXPOSE http;
    EXPOSE 8080:80;
    EXPOSE 53/upd;
    EXPOSE 80 80;
    EXPOSE "8080";
    EXPOSE 8000-8002 as RANGE;
    EXPOSE 81/;
    VOLUME "data";
    VOLUME "./data:/data";
    VOLUME "/a" "/a/";
}

layers! {
    #![allow(unused_stage)]
    struct Rest;
    FROM scratch as bare;
    USER "app";
    FROM "debian:12";
    USER "a:b:c";
    CMD ["a"];
    CMD ["b"];
    ENTRYPOINT [];
    STOPSIGNAL SIGTREM;
    ONBUILD FROM "b";
    ONBUILD ONBUILD RUN "x";
    ONBUILD;
}

fn main() {}
