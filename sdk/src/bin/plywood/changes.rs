//! `import --change`: the Dockerfile instructions that set the image's configuration.

use plywood::image::ImportOptions;

use crate::failure::{Failure, Outcome};

/// Applies one instruction.
pub fn apply(options: ImportOptions, text: &str) -> Outcome<ImportOptions> {
    let wrong = |why: &str| Failure::usage(format!("invalid --change {text:?}: {why}"));
    let (keyword, value) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    let value = value.trim();
    if value.is_empty() {
        return Err(wrong("it reads like `CMD [\"sh\"]`"));
    }
    let pairs = || pairs(value).ok_or_else(|| wrong("it reads like NAME=value"));
    Ok(match keyword.to_ascii_uppercase().as_str() {
        "CMD" => options.cmd(argv(value)),
        "ENTRYPOINT" => options.entrypoint(argv(value)),
        "ENV" => pairs()?.into_iter().fold(options, |options, (name, value)| options.env(name, value)),
        "LABEL" => pairs()?.into_iter().fold(options, |options, (name, value)| options.label(name, value)),
        "WORKDIR" => options.workdir(value),
        "USER" => options.user(value),
        "STOPSIGNAL" => options.stop_signal(value),
        "VOLUME" => words_or_json(value).into_iter().fold(options, ImportOptions::volume),
        "EXPOSE" => {
            let mut options = options;
            for port in value.split_whitespace() {
                options = options.expose(plywood::spec::ExposedPort::parse(port)?);
            }
            options
        }
        _ => return Err(wrong("there is CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR")),
    })
}

/// The exec form, else the shell form.
fn argv(value: &str) -> Vec<String> {
    json(value).unwrap_or_else(|| ["/bin/sh", "-c", value].map(str::to_owned).to_vec())
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
        assert_eq!(argv("[\"a\", \"b c\"]"), ["a", "b c"]);
        assert_eq!(argv("a b"), ["/bin/sh", "-c", "a b"]);
    }
}
