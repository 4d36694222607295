//! Paths inside an image: Unix paths as text.

/// Makes a path absolute and normal: no `.`, no `..`, no repeated or trailing slash.
///
/// A relative path is read from `directory`. `..` does not lead above the root.
pub fn resolve(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let from = if path.starts_with('/') { "" } else { directory };
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Makes a source path relative to the root of what it is copied from, or `None` where `..` leads above that.
///
/// The root itself is the empty path. A leading slash means nothing.
pub fn clean_source(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether a destination can only be a directory.
pub fn is_directory(path: &str) -> bool {
    path.ends_with('/') || matches!(path, "." | "..") || path.ends_with("/.") || path.ends_with("/..")
}

/// Whether a source of `ADD` is downloaded with HTTP.
pub fn is_url(source: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        source.len() > scheme.len() && source.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    })
}

/// Whether a source of `ADD` is a git repository.
pub fn is_git(source: &str) -> bool {
    source.starts_with("git://")
        || source.starts_with("ssh://")
        || source.starts_with("git@")
        || is_url(source) && source.split(['#', '?']).next().is_some_and(|address| address.ends_with(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_resolve_below_the_root() {
        for (directory, path, expected) in [
            ("/", "a", "/a"),
            ("/app", "a//b/./c/", "/app/a/b/c"),
            ("/app", "../../..", "/"),
            ("/app", "/etc/../var", "/var"),
            ("/app", ".", "/app"),
        ] {
            assert_eq!(resolve(directory, path), expected, "{directory} {path}");
        }
    }

    #[test]
    fn sources_stay_inside() {
        assert_eq!(clean_source("./a/../b/").as_deref(), Some("b"));
        assert_eq!(clean_source("/").as_deref(), Some(""));
        assert_eq!(clean_source("a/../../b"), None);
    }

    #[test]
    fn addresses_are_told_from_paths() {
        assert!(is_url("HTTPS://x/y") && !is_url("https://") && !is_url("src/https://"));
        assert!(is_git("https://github.com/a/b.git#v1") && is_git("git@host:a") && !is_git("https://x/a.tar"));
        assert!(is_directory("/a/") && is_directory(".") && !is_directory("/a.d"));
    }
}
