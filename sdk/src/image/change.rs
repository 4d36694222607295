//! Dockerfile instructions that set an image's configuration, as `import --change` and `commit --change` take them.

use crate::error::{Error, ErrorKind, Result};
use crate::spec::image_config::{Config, HealthCheck};
use crate::spec::{ContainerPath, ExposedPort, User};

/// Applies one instruction.
pub(crate) fn apply(config: &mut Config, text: &str) -> Result<()> {
    let wrong = |why: &str| Error::new(ErrorKind::InvalidArgument, format_args!("change the image by {text:?}: {why}"));
    let (keyword, value) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    let value = value.trim();
    if value.is_empty() {
        return Err(wrong("it reads like `CMD [\"sh\"]`"));
    }
    let pairs = || pairs(value).ok_or_else(|| wrong("it reads like NAME=value"));
    match keyword.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = Some(argv(config, value)),
        "ENTRYPOINT" => {
            // The command belonged to the one before.
            config.cmd = None;
            config.entrypoint = Some(argv(config, value));
        }
        "ENV" => pairs()?.iter().try_for_each(|(name, value)| set_variable(config, name, value))?,
        "HEALTHCHECK" => config.healthcheck = Some(health_check(value).map_err(wrong)?),
        "LABEL" => config.labels.extend(pairs()?),
        "WORKDIR" => config.working_dir = ContainerPath::root().join(&config.working_dir)?.join(value)?.to_string(),
        "USER" => config.user = User::parse(value)?.to_string(),
        "STOPSIGNAL" => config.stop_signal = Some(value.to_owned()),
        "ONBUILD" => config.on_build.push(value.to_owned()),
        "VOLUME" => {
            for path in words_or_json(value) {
                config.volumes.insert(ContainerPath::parse(&path)?.to_string());
            }
        }
        "EXPOSE" => {
            for port in value.split_whitespace() {
                config.exposed_ports.insert(ExposedPort::parse(port)?.to_string());
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

/// `NONE`, or options and `CMD` with a command; what is wrong with it instead.
fn health_check(value: &str) -> std::result::Result<HealthCheck, &'static str> {
    let mut check = HealthCheck::default();
    let mut rest = value;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).ok_or("it reads like `HEALTHCHECK CMD test`")?;
        let (name, value) = option.split_once('=').ok_or("an option reads like --interval=30s")?;
        let time = || plywood_syntax::duration::parse(value).ok_or("a time reads like 30s or 1m30s");
        match name {
            "interval" => check.interval = time()?,
            "timeout" => check.timeout = time()?,
            "start-period" => check.start_period = time()?,
            "start-interval" => check.start_interval = time()?,
            "retries" => check.retries = value.parse().map_err(|_| "the number of retries is none")?,
            _ => return Err("its options are --interval, --timeout, --start-period, --start-interval and --retries"),
        }
        rest = after.trim_start();
    }
    let (keyword, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    check.test = match (keyword.to_ascii_uppercase().as_str(), command) {
        ("NONE", "") if rest.len() == value.len() => vec!["NONE".to_owned()],
        ("CMD", command) if !command.is_empty() => match json(command) {
            Some(argv) => std::iter::once("CMD".to_owned()).chain(argv).collect(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        _ => return Err("it reads like `HEALTHCHECK CMD test` or `HEALTHCHECK NONE`"),
    };
    Ok(check)
}

/// The exec form, else the shell form.
fn argv(config: &Config, value: &str) -> Vec<String> {
    json(value).unwrap_or_else(|| {
        let shell = config.shell.iter().map(String::as_str);
        let default = ["/bin/sh", "-c"].into_iter().filter(|_| config.shell.is_empty());
        shell.chain(default).chain([value]).map(str::to_owned).collect()
    })
}

fn json(value: &str) -> Option<Vec<String>> {
    serde_json::from_str(value).ok()
}

fn words_or_json(value: &str) -> Vec<String> {
    json(value).unwrap_or_else(|| value.split_whitespace().map(str::to_owned).collect())
}

/// `A=1 B="two words"`, or the old `A one`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let words = words(text)?;
    if let [name, rest @ ..] = words.as_slice()
        && !name.contains('=')
        && !rest.is_empty()
    {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    words.iter().map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

/// The words of a text; quotes hold several together and are taken away. `None` if one is left open.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next()?),
            (_, Some(open)) if char == open => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(char),
            ('"' | '\'', None) => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (_, None) if char.is_whitespace() => words.extend(word.take()),
            (_, None) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pairs_are_read_with_and_without_quotes() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("A=1 B=\"two words\""), Some(vec![pair("A", "1"), pair("B", "two words")]));
        assert_eq!(pairs("A one two"), Some(vec![pair("A", "one two")]));
        assert_eq!(pairs("A=x=y B="), Some(vec![pair("A", "x=y"), pair("B", "")]));
        assert_eq!(pairs("A=\"open"), None);
        assert_eq!(pairs("A"), None);
    }

    #[test]
    fn a_command_is_in_exec_form_or_for_the_shell() {
        let mut config = Config::default();
        assert_eq!(argv(&config, "[\"a\", \"b c\"]"), ["a", "b c"]);
        assert_eq!(argv(&config, "a b"), ["/bin/sh", "-c", "a b"]);
        config.shell = vec!["/bin/bash".into(), "-ec".into()];
        assert_eq!(argv(&config, "a b"), ["/bin/bash", "-ec", "a b"]);
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
