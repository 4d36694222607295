use plywood::layers;

layers! {
    #![context("../../../../tests/fixtures/context")]
    #![allow(unused_stage)]
    struct Paths;
    FROM scratch as bare;
    COPY --chown="app" "conf/app.toml" => "/etc/";
    FROM "debian:12";
    COPY "conf/app.toml";
    COPY "conf/app.toml" "/etc/";
    COPY "conf/app.toml" => "etc/";
    COPY "conf/app.toml" "conf/app.toml" => "/etc";
    COPY "conf/app.tml" => "/etc/";
    COPY "../x" => "/etc/";
    COPY "secret.txt" => "/etc/";
    COPY "conf/*.tml" => "/etc/";
    COPY "conf/[a-" => "/etc/";
    COPY --chmod=0999 "conf/app.toml" => "/etc/";
    COPY --chown="a:b:c" "conf/app.toml" => "/etc/";
    ADD --checksum="sha256:00" "https://example.com/a.tar" => "/opt/";
    ADD --checksum="sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "conf/app.toml" => "/opt/";
    COPY "https://example.com/a.tar" => "/opt/";
    COPY << "x = 1\n" => "/etc/";
    COPY => "/etc/";
    WORKDIR "~/src";
}

layers! {
    struct Relative;
    FROM "debian:12";
    WORKDIR "src";
}

layers! {
    #![context("dokcer")]
    struct NoContext;
    FROM "debian:12";
    COPY "." => "/app/";
}

fn main() {}
