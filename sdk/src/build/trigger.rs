//! Triggers: instructions that `ONBUILD` left as text in a base image.

use crate::error::{ErrorKind, Fault, Result};
use crate::image::{Instruction, Run};

#[derive(Debug, thiserror::Error)]
enum TriggerFault {
    #[error("ONBUILD {text:?} of the base image: {why}")]
    Malformed { text: String, why: String },
    #[error("ONBUILD {text:?} of the base image: plywood cannot carry out {what} as a trigger")]
    Unsupported { text: String, what: &'static str },
}

impl Fault for TriggerFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } => ErrorKind::InvalidArgument,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }
}

/// Reads one instruction as Docker records it. `stages` are the names that `--from` may mean.
pub(super) fn parse(text: &str, stages: &[&str]) -> Result<Instruction> {
    let unsupported = |what| TriggerFault::Unsupported { text: text.to_owned(), what };
    let malformed = |why| TriggerFault::Malformed { text: text.to_owned(), why };
    match Instruction::parse(text, stages).map_err(malformed)? {
        Instruction::From(_) | Instruction::OnBuild(_) => Err(unsupported("it").into()),
        Instruction::HealthCheck(_) => Err(unsupported("HEALTHCHECK").into()),
        Instruction::Run(run) if has_mounts(&run) => Err(unsupported("--mount").into()),
        instruction => Ok(instruction),
    }
}

fn has_mounts(run: &Run) -> bool {
    !run.mounts().is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image::{Copy, Layers};

    #[test]
    fn what_is_recorded_reads_back() {
        let stages = ["build"];
        let definition = Layers::new()
            .run("make && make install")
            .run(["ls", "-l"])
            .copy(["a", "b c"], "/app/")
            .instruction(Copy::of("x").to("/").from_stage("build").chown("app:app").chmod("0755"))
            .add("x.tar", "/")
            .envs([("A", "1"), ("B", "two words")])
            .label("k", "v")
            .workdir("/srv")
            .user("app")
            .expose(80)
            .volume("/data")
            .arg("V", "1")
            .cmd(["serve"])
            .entrypoint("run it")
            .shell(["/bin/bash", "-c"])
            .stop_signal("SIGINT");
        for instruction in definition.instructions() {
            let text = instruction.to_string();
            let read = parse(&text, &stages).unwrap();
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn what_docker_records_is_read() {
        assert_eq!(parse("ENV A some text", &[]).unwrap(), Instruction::Env(vec![("A".into(), "some text".into())]));
        assert_eq!(parse("copy . /app", &[]).unwrap(), Copy::of(".").to("/app").into());
        let from = parse("COPY --from=nginx:1 /a /b", &[]).unwrap();
        assert_eq!(from, Copy::of("/a").to("/b").from_image("nginx:1").into());
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for text in ["HEALTHCHECK NONE", "FROM x", "COPY a", "RUN --mount=type=cache,target=/x make", "SHELL sh", ""] {
            assert!(parse(text, &[]).is_err(), "{text}");
        }
    }
}
