//! Dockerfile instructions that set an image's configuration, as `import --change` and `commit --change` take them.

use plywood_syntax::variables;

use super::Instruction;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::image_config::Config;
use crate::spec::{ContainerPath, ExposedPort, User};

/// Applies one instruction. Variables in it are those of the image's environment.
pub(crate) fn apply(config: &mut Config, text: &str) -> Result<()> {
    let wrong = |why: &str| Error::new(ErrorKind::InvalidArgument, format_args!("change the image by {text:?}: {why}"));
    let expand = |config: &Config, value: &str| {
        let get = |name: &str| {
            let set = config.env.iter().find_map(|set| set.split_once('=').filter(|(known, _)| *known == name));
            set.map(|(_, value)| value.to_owned())
        };
        variables::expand(value, get).map_err(|problem| wrong(&problem.message))
    };
    match Instruction::parse_alone(text).map_err(|why| wrong(&why))? {
        Instruction::Cmd(command) => config.cmd = Some(command.argv(&config.shell)),
        Instruction::Entrypoint(command) => {
            // The command belonged to the one before.
            config.cmd = None;
            config.entrypoint = Some(command.argv(&config.shell));
        }
        Instruction::Env(pairs) => {
            // All values see the environment before the instruction.
            let values = pairs.iter().map(|(_, value)| expand(config, value)).collect::<Result<Vec<_>>>()?;
            pairs.iter().zip(values).try_for_each(|((name, _), value)| set_variable(config, name, &value))?;
        }
        Instruction::HealthCheck(check) => config.healthcheck = Some(check.to_config()),
        Instruction::Label(pairs) => {
            for (key, value) in pairs {
                let value = expand(config, &value)?;
                config.labels.insert(key, value);
            }
        }
        Instruction::Workdir(path) => {
            let path = expand(config, &path)?;
            config.working_dir = ContainerPath::root().join(&config.working_dir)?.join(&path)?.to_string();
        }
        Instruction::User(user) => config.user = User::parse(&expand(config, &user)?)?.to_string(),
        Instruction::StopSignal(signal) => config.stop_signal = Some(expand(config, &signal)?),
        Instruction::OnBuild(trigger) => config.on_build.push(trigger.to_string().trim_end().to_owned()),
        Instruction::Volume(paths) => {
            for path in paths {
                config.volumes.insert(ContainerPath::parse(&expand(config, &path)?)?.to_string());
            }
        }
        Instruction::Expose(ports) => {
            for port in ports {
                let port = expand(config, &port)?;
                let ports = plywood_syntax::port::parse(&port).map_err(|problem| wrong(&problem.message))?;
                for port in ports.each() {
                    config.exposed_ports.insert(ExposedPort::parse(&port)?.to_string());
                }
            }
        }
        _ => {
            return Err(wrong(
                "there is CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR",
            ));
        }
    }
    Ok(())
}

/// Sets an environment variable in its place, or adds it.
pub(super) fn set_variable(config: &mut Config, name: &str, value: &str) -> Result<()> {
    if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
        let message = format!("set the environment variable {name:?}: a name has neither \"=\" nor NUL");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    config.env.retain(|set| set.split('=').next() != Some(name));
    config.env.push(format!("{name}={value}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_command_is_in_exec_form_or_for_the_shell() {
        let mut config = Config::default();
        let mut cmd = |text: &str, shell: &[&str]| {
            config.shell = shell.iter().map(|word| (*word).to_owned()).collect();
            apply(&mut config, text).unwrap();
            config.cmd.clone().unwrap()
        };
        assert_eq!(cmd("CMD [\"a\", \"b c\"]", &[]), ["a", "b c"]);
        assert_eq!(cmd("CMD a b", &[]), ["/bin/sh", "-c", "a b"]);
        assert_eq!(cmd("cmd a b", &["/bin/bash", "-ec"]), ["/bin/bash", "-ec", "a b"]);
    }

    #[test]
    fn values_are_read_as_in_a_dockerfile() {
        let mut config = Config::default();
        for text in [
            "ENV A=1 B=\"two words\" C='$A'",
            "ENV A one two",
            "ENV D=$A E=\"${B%% *}\" F=\\$A",
            "WORKDIR /x/${F:+y}",
            "EXPOSE 8000-8001",
        ] {
            apply(&mut config, text).unwrap();
        }
        assert_eq!(config.env, ["B=two words", "C=$A", "A=one two", "D=one two", "E=two", "F=$A"]);
        assert_eq!(config.working_dir, "/x/y");
        assert_eq!(config.exposed_ports.iter().collect::<Vec<_>>(), ["8000/tcp", "8001/tcp"]);
        let error = apply(&mut config, "ENV A=\"open").unwrap_err();
        assert_eq!(error.to_string(), "change the image by \"ENV A=\\\"open\": double quote `\"` is never closed");
    }

    #[test]
    fn instructions_change_the_configuration_in_their_order() {
        let mut config = Config::default();
        for text in [
            "CMD old",
            "ENTRYPOINT [\"run\"]",
            "env A=1 B=2",
            "ENV A=3",
            "WORKDIR /srv",
            "WORKDIR app",
            "USER 1000:50",
            "EXPOSE 80 53/udp",
            "VOLUME [\"/a\", \"/b\"]",
            "LABEL k=\"v w\"",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN make",
        ] {
            apply(&mut config, text).unwrap();
        }
        assert_eq!((config.entrypoint.as_deref(), &config.cmd), (Some(&["run".to_owned()][..]), &None));
        assert_eq!(config.env, ["B=2", "A=3"]);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv/app", "1000:50"));
        assert_eq!(config.exposed_ports.iter().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/a", "/b"]);
        assert_eq!((config.labels["k"].as_str(), config.on_build[0].as_str()), ("v w", "RUN make"));
        apply(&mut config, "HEALTHCHECK --interval=1m30s --retries=5 CMD [\"test\", \"-e\", \"/up\"]").unwrap();
        let check = config.healthcheck.clone().unwrap();
        assert_eq!(
            (check.test.join(" ").as_str(), check.interval.as_secs(), check.retries),
            ("CMD test -e /up", 90, 5)
        );
        apply(&mut config, "healthcheck cmd curl -f localhost || exit 1").unwrap();
        assert_eq!(config.healthcheck.clone().unwrap().test, ["CMD-SHELL", "curl -f localhost || exit 1"]);
        apply(&mut config, "HEALTHCHECK NONE").unwrap();
        assert_eq!(config.healthcheck.clone().unwrap().test, ["NONE"]);
        for wrong in [
            "",
            "CMD",
            "RUN make",
            "HEALTHCHECK --retries=x CMD a",
            "HEALTHCHECK --interval=5 CMD a",
            "HEALTHCHECK NONE CMD",
            "HEALTHCHECK CMD",
            "HEALTHCHECK --timeout=1s NONE",
            "HEALTHCHECK --at=1s CMD a",
            "ENV A",
            "VOLUME relative",
            "EXPOSE port",
        ] {
            assert_eq!(apply(&mut config, wrong).unwrap_err().kind(), ErrorKind::InvalidArgument, "{wrong}");
        }
    }
}
