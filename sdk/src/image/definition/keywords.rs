//! The instructions of `layers!` by name: what an editor offers where a word begins one.
//!
//! No program names them. The macro expands a word that is not finished yet to a path here, for rust-analyzer alone.

/// Begins a stage: `FROM "debian:12" as build;`.
pub const FROM: () = ();
/// Declares a build argument: `ARG VERSION = "1.2";`.
pub const ARG: () = ();
/// Runs a command and keeps what it changed as a layer: `RUN "make" && "make install";`.
pub const RUN: () = ();
/// Copies files of the build context, of a stage or of an image: `COPY "app.py" => "/app/";`.
pub const COPY: () = ();
/// Copies files, and unpacks archives: `ADD "vendor.tar.gz" => "/opt/";`.
pub const ADD: () = ();
/// Sets environment variables: `ENV MODE = "test" PORT = 8080;`.
pub const ENV: () = ();
/// Sets labels: `LABEL com.example.team = "web";`.
pub const LABEL: () = ();
/// Sets the working directory, and makes it: `WORKDIR "/app";`.
pub const WORKDIR: () = ();
/// Sets the user of what follows, and of the container: `USER "app:app";`.
pub const USER: () = ();
/// Declares ports on which containers listen: `EXPOSE 8080 as HTTP;`.
pub const EXPOSE: () = ();
/// Declares paths whose content outlives containers: `VOLUME "/data" as DATA;`.
pub const VOLUME: () = ();
/// Sets the program that containers run: `ENTRYPOINT ["web"];`.
pub const ENTRYPOINT: () = ();
/// Sets the default arguments, or the default program: `CMD ["--port", "80"];`.
pub const CMD: () = ();
/// Sets the shell that strings run under: `SHELL ["/bin/bash", "-c"];`.
pub const SHELL: () = ();
/// Sets the signal that asks a container to stop: `STOPSIGNAL SIGINT;`.
pub const STOPSIGNAL: () = ();
/// Sets the command that tells whether a container is healthy: `HEALTHCHECK --interval=5s CMD ["web", "--check"];`.
pub const HEALTHCHECK: () = ();
/// Records an instruction for images that are based on this one: `ONBUILD COPY "." => "/src/";`.
pub const ONBUILD: () = ();

#[cfg(test)]
mod tests {
    #[test]
    fn every_instruction_is_there() {
        let names = include_str!("keywords.rs").lines().filter_map(|line| line.strip_prefix("pub const "));
        let mut names: Vec<&str> = names.filter_map(|line| line.strip_suffix(": () = ();")).collect();
        let mut known = plywood_syntax::grammar::KEYWORDS.to_vec();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
