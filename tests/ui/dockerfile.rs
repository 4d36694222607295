use plywood::dockerfile;

dockerfile! {
    struct Mistakes;
    "../../../../tests/fixtures/mistakes.Dockerfile";
    EXPOSE 8080 as HTTP;
}

dockerfile! {
    #![context("../../../../tests")]
    struct Names;
    "../../../../tests/fixtures/web.Dockerfile";
    EXPOSE 8081 as HTTP;
    VOLUME "/date" as DATA;
    RUN "make";
}

dockerfile! {
    #![context("../../../../tests/fixtures/embedded")]
    struct Text;
    "../../../../tests/fixtures/text.Dockerfile";
}

dockerfile! {
    struct NotText;
    "../../../../tests/fixtures/latin1.Dockerfile";
}

dockerfile! {
    struct NotThere;
    "../../../../tests/fixtures/web.Dockerfil";
}

dockerfile! {
    struct NoPath;
}

dockerfile! {
    struct Unquoted;
    docker/Dockerfile;
}

fn main() {}
