//! References: which image.
//!
//! ```text
//! reference = [ domain [ ":" port ] "/" ] path [ ":" tag ] [ "@" digest ]
//! path      = component { "/" component }
//! component = [a-z0-9]+ joined by ".", "_", "__" or any number of "-"
//! tag       = [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}
//! digest    = "sha256:" 64 × [0-9a-f]  |  "sha512:" 128 × [0-9a-f]
//! ```
//!
//! The first component is a domain when it has a `.` or a `:` or is `localhost`. Domain and path together have at most
//! 255 characters. This is the grammar of `github.com/distribution/reference`, without its exceptions for upper case.

use crate::finding::Problem;

/// Most characters of a domain and path together.
pub const NAME_MAX: usize = 255;
/// Most characters of a tag.
pub const TAG_MAX: usize = 128;

/// The parts of a reference, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Domain and port, such as `ghcr.io` or `localhost:5000`, where one is written.
    pub registry: Option<&'a str>,
    /// The path, such as `debian` or `library/debian`.
    pub repository: &'a str,
    /// The tag, without its colon.
    pub tag: Option<&'a str>,
    /// The digest with its algorithm, without the `@`.
    pub digest: Option<&'a str>,
}

/// Takes a reference apart.
///
/// # Errors
/// The first rule that the text breaks, from left to right.
pub fn parse(text: &str) -> Result<Parts<'_>, Problem> {
    let whole = 0..text.len();
    if text.is_empty() {
        return Err(Problem::new("reference_empty", "the image reference is empty", whole));
    }
    if let Some(at) = text.find("://") {
        let (scheme, rest) = text.split_at(at + 3);
        let message = format!("an image reference has no `{scheme}`");
        return Err(Problem::new("reference_scheme", message, 0..at + 3).help(rest));
    }
    if let Some((at, space)) = text.char_indices().find(|(_, char)| char.is_whitespace()) {
        let message = format!("image reference `{text}` has a space in it");
        return Err(Problem::new("reference_space", message, at..at + space.len_utf8()));
    }

    let (named, digest) = match text.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the port.
    let last_component = named.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match named[last_component..].find(':') {
        Some(colon) => (&named[..last_component + colon], Some(&named[last_component + colon + 1..])),
        None => (named, None),
    };
    let (registry, repository) = match name.split_once('/') {
        Some((first, path)) if is_domain(first) => (Some(first), path),
        _ => (None, name),
    };

    if let Some(registry) = registry {
        check_registry(registry)?;
    }
    check_repository(text, name, repository)?;
    if name.len() > NAME_MAX {
        let message = format!("an image name has at most {NAME_MAX} characters, this one has {}", name.len());
        return Err(Problem::new("name_long", message, 0..name.len()));
    }
    if let Some(tag) = tag {
        check_tag(tag, name.len() + 1)?;
    }
    if let Some(digest) = digest {
        let start = named.len() + 1;
        parse_digest(digest).map_err(|message| Problem::new("bad_digest", message, start..text.len()))?;
    }
    Ok(Parts { registry, repository, tag, digest })
}

/// Takes a digest apart into algorithm and hexadecimal digits.
///
/// # Errors
/// One clause: another algorithm than sha256 and sha512, another length, other digits than `0-9a-f`.
pub fn parse_digest(text: &str) -> Result<(&str, &str), String> {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return Err("a digest reads `sha256:` and 64 hexadecimal digits".into());
    };
    let digits = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => return Err(format!("`{algorithm}` is not a digest algorithm (sha256 and sha512 are)")),
    };
    if let Some(wrong) = hex.chars().find(|char| !char.is_ascii_hexdigit()) {
        return Err(format!("{wrong:?} is not a hexadecimal digit"));
    }
    if hex.len() != digits {
        return Err(format!("a {algorithm} digest has {digits} hexadecimal digits, this one has {}", hex.len()));
    }
    if hex.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("the digits of a digest are lower case".into());
    }
    Ok((algorithm, hex))
}

/// Whether the first of several components names a registry.
pub fn is_domain(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn check_registry(registry: &str) -> Result<(), Problem> {
    let wrong = |message: String| Err(Problem::new("reference_domain", message, 0..registry.len()));
    // `[::1]:5000`: the port follows the bracket.
    let (host, port) = match registry.rfind(']') {
        Some(end) => (&registry[..=end], registry[end + 1..].strip_prefix(':')),
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    if let Some(port) = port
        && port.parse::<u16>().map_or(true, |number| number == 0 || port.starts_with('+'))
    {
        return wrong(format!("`{port}` is not the port of a registry"));
    }
    if let Some(address) = host.strip_prefix('[') {
        return match address.strip_suffix(']').is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()) {
            true => Ok(()),
            false => wrong(format!("`{host}` is not an address")),
        };
    }
    let label_is_valid = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match host.split('.').all(label_is_valid) {
        true => Ok(()),
        false => wrong(format!("`{registry}` is not the name of a registry")),
    }
}

/// `name` is the front of `text` up to tag and digest, `repository` its end.
fn check_repository(text: &str, name: &str, repository: &str) -> Result<(), Problem> {
    let start = name.len() - repository.len();
    if repository.is_empty() {
        return Err(Problem::new("reference_empty", "the image name is empty", start..start.max(name.len())));
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let (domain, rest) = text.split_at(start);
        let corrected = format!("{domain}{}{}", repository.to_ascii_lowercase(), &rest[repository.len()..]);
        let message = format!("image names are lower case: `{corrected}`");
        return Err(Problem::new("reference_case", message, start..name.len()).help(corrected));
    }
    let mut at = start;
    for component in repository.split('/') {
        check_component(component, at)?;
        at += component.len() + 1;
    }
    let is_id = repository.len() == 64 && repository.bytes().all(|byte| byte.is_ascii_hexdigit());
    if start == 0 && is_id {
        let message = "64 hexadecimal digits name an image by its ID, not by a reference";
        return Err(Problem::new("reference_id", message, start..name.len()));
    }
    Ok(())
}

fn check_component(component: &str, at: usize) -> Result<(), Problem> {
    let range = at..at + component.len();
    if component.is_empty() {
        return Err(Problem::new("reference_separator", "`//` cannot be in an image name", range));
    }
    let is_separator = |char: char| matches!(char, '.' | '_' | '-');
    if let Some((offset, wrong)) =
        component.char_indices().find(|(_, char)| !char.is_ascii_alphanumeric() && !is_separator(*char))
    {
        let start = at + offset;
        let message = format!("`{wrong}` cannot be in an image name");
        return Err(Problem::new("reference_char", message, start..start + wrong.len_utf8()));
    }
    if component.starts_with(is_separator) || component.ends_with(is_separator) {
        let message = format!("`{component}` cannot begin or end with a separator");
        return Err(Problem::new("reference_separator", message, range));
    }
    for separator in component.split(|char: char| char.is_ascii_alphanumeric()).filter(|run| !run.is_empty()) {
        let is_valid = matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
        if !is_valid {
            let message = format!("`{separator}` cannot be in an image name");
            return Err(Problem::new("reference_separator", message, range));
        }
    }
    Ok(())
}

fn check_tag(tag: &str, at: usize) -> Result<(), Problem> {
    let range = at..at + tag.len();
    if tag.is_empty() {
        return Err(Problem::new("empty_tag", "the tag after `:` is empty", range));
    }
    let is_valid = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-');
    if let Some((offset, wrong)) = tag.char_indices().find(|(_, char)| !is_valid(*char)) {
        let start = at + offset;
        let message = format!("`{wrong}` cannot be in a tag");
        return Err(Problem::new("reference_char", message, start..start + wrong.len_utf8()));
    }
    if tag.starts_with(['.', '-']) {
        return Err(Problem::new("reference_char", format!("`{}` cannot begin a tag", &tag[..1]), range));
    }
    if tag.len() > TAG_MAX {
        let message = format!("a tag has at most {TAG_MAX} characters, this one has {}", tag.len());
        return Err(Problem::new("tag_long", message, range));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parts(text: &str) -> (Option<&str>, &str, Option<&str>, Option<&str>) {
        let parts = parse(text).unwrap();
        (parts.registry, parts.repository, parts.tag, parts.digest)
    }

    #[test]
    fn references_are_taken_apart_as_docker_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(parts("debian"), (None, "debian", None, None));
        assert_eq!(parts("debian:12-slim"), (None, "debian", Some("12-slim"), None));
        assert_eq!(parts("library/debian"), (None, "library/debian", None, None));
        assert_eq!(parts("ghcr.io/a/b__c:v1"), (Some("ghcr.io"), "a/b__c", Some("v1"), None));
        assert_eq!(parts("localhost/x"), (Some("localhost"), "x", None, None));
        assert_eq!(parts("localhost:5000"), (None, "localhost", Some("5000"), None));
        assert_eq!(parts("localhost:5000/x:1"), (Some("localhost:5000"), "x", Some("1"), None));
        assert_eq!(parts("[::1]:5000/x"), (Some("[::1]:5000"), "x", None, None));
        let with_digest = format!("a/b:1@{digest}");
        assert_eq!(parts(&with_digest), (None, "a/b", Some("1"), Some(digest.as_str())));
    }

    #[test]
    fn each_broken_rule_has_its_message_and_place() {
        let table = [
            ("", "reference_empty", "the image reference is empty", 0..0),
            ("Alpine:3.20", "reference_case", "image names are lower case: `alpine:3.20`", 0..6),
            ("debian:12 slim", "reference_space", "image reference `debian:12 slim` has a space in it", 9..10),
            ("https://ghcr.io/x", "reference_scheme", "an image reference has no `https://`", 0..8),
            ("a:b:c", "reference_char", "`:` cannot be in a tag", 3..4),
            ("al!pine", "reference_char", "`!` cannot be in an image name", 2..3),
            ("foo_", "reference_separator", "`foo_` cannot begin or end with a separator", 0..4),
            ("foo..bar", "reference_separator", "`..` cannot be in an image name", 0..8),
            ("a//b", "reference_separator", "`//` cannot be in an image name", 2..2),
            ("debian:", "empty_tag", "the tag after `:` is empty", 7..7),
            ("debian:-1", "reference_char", "`-` cannot begin a tag", 7..9),
            (":1", "reference_empty", "the image name is empty", 0..0),
            ("x.y:0/a", "reference_domain", "`0` is not the port of a registry", 0..5),
            ("-x.y/a", "reference_domain", "`-x.y` is not the name of a registry", 0..4),
            ("a@md5:00", "bad_digest", "`md5` is not a digest algorithm (sha256 and sha512 are)", 2..8),
        ];
        for (text, name, message, range) in table {
            let problem = parse(text).unwrap_err();
            assert_eq!((problem.name, problem.message.as_str(), problem.range), (name, message, range), "{text:?}");
        }
        assert_eq!(parse("ghcr.io/A/b:X").unwrap_err().help.as_deref(), Some("ghcr.io/a/b:X"));
    }

    #[test]
    fn lengths_are_limited() {
        let short = format!("a@sha256:{}", "0".repeat(63));
        assert_eq!(parse(&short).unwrap_err().message, "a sha256 digest has 64 hexadecimal digits, this one has 63");
        assert_eq!(parse(&"a".repeat(256)).unwrap_err().name, "name_long");
        assert_eq!(parse(&format!("a:{}", "b".repeat(129))).unwrap_err().name, "tag_long");
        assert_eq!(parse(&"0".repeat(64)).unwrap_err().name, "reference_id");
    }

    #[test]
    fn digests_are_lower_case_and_of_known_algorithms() {
        assert_eq!(
            parse_digest(&format!("sha256:{}", "A".repeat(64))),
            Err("the digits of a digest are lower case".into())
        );
        assert!(parse_digest("sha256:../../x").is_err());
        assert!(parse_digest("abc").is_err());
        assert!(parse_digest(&format!("sha512:{}", "0".repeat(128))).is_ok());
    }
}
