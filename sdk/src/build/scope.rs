//! Variables of a build: what `$NAME` means where.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::error::{Error, ErrorKind, Result};
use crate::image::Arg;
use crate::spec::Platform;

/// Known without a declaration, and no part of a cache key unless declared: what they say is about the builder's network.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Something that knows variables.
pub(super) trait Scope {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;

    /// Replaces `$NAME`, `${NAME}` and their forms with `:-`, `-`, `:+` and `+`. A variable that is not set is empty.
    fn expand(&self, text: &str) -> Result<String> {
        plywood_syntax::variables::expand(text, |name| self.get(name)).map_err(|problem| {
            let message = format!("build image: expand the variables of {text:?}: {}", problem.message);
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }
}

/// The values that the caller gave to arguments.
#[derive(Debug, Default)]
pub(super) struct Given {
    values: BTreeMap<String, String>,
    /// The names of those that were asked for.
    consumed: RefCell<BTreeSet<String>>,
}

impl Given {
    pub(super) fn new(values: BTreeMap<String, String>) -> Rc<Self> {
        let consumed = PROXIES.iter().map(ToString::to_string).collect();
        Rc::new(Self { values, consumed: RefCell::new(consumed) })
    }

    fn get(&self, name: &str) -> Option<&String> {
        let value = self.values.get(name)?;
        self.consumed.borrow_mut().insert(name.to_owned());
        Some(value)
    }

    /// The names of those that nothing has asked for.
    pub(super) fn unused(&self) -> Vec<&str> {
        let consumed = self.consumed.borrow();
        self.values.keys().filter(|name| !consumed.contains(*name)).map(String::as_str).collect()
    }
}

/// Variables of `FROM`: arguments declared before the first one, and what the caller gave.
#[derive(Debug, Clone, Default)]
pub(super) struct Globals {
    given: Rc<Given>,
    declared: BTreeMap<String, String>,
    platform: BTreeMap<&'static str, String>,
}

impl Globals {
    pub(super) fn new(given: Rc<Given>) -> Self {
        Self { given, ..Self::default() }
    }

    /// Adds `TARGETPLATFORM` and its parts, and the same of the host.
    pub(super) fn platforms(mut self, target: &Platform) -> Self {
        let host = Platform::host();
        for (names, platform) in [
            (["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"], target),
            (["BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"], &host),
        ] {
            let variant = platform.variant.clone().unwrap_or_default();
            let values = [platform.to_string(), platform.os.clone(), platform.architecture.clone(), variant];
            self.platform.extend(names.into_iter().zip(values));
        }
        self
    }

    /// Takes an `ARG` that stands before the first `FROM`.
    pub(super) fn declare(&mut self, arg: &Arg) -> Result<()> {
        let value = match (self.given.get(arg.name()), arg.default()) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(self.expand(default)?),
            (None, None) => None,
        };
        if let Some(value) = value {
            self.declared.insert(arg.name().to_owned(), value);
        }
        Ok(())
    }

    /// The value that an `ARG` of a stage has, where `scope` knows the variables of the stage.
    pub(super) fn of_stage(&self, arg: &Arg, scope: &impl Scope) -> Result<Option<String>> {
        if let Some(given) = self.given.get(arg.name()) {
            return Ok(Some(given.clone()));
        }
        match arg.default() {
            Some(default) => scope.expand(default).map(Some),
            None => Ok(self.get(arg.name())),
        }
    }

    /// The proxies that the caller gave: they reach every `RUN`.
    pub(super) fn proxies(&self) -> impl Iterator<Item = (&str, &str)> {
        PROXIES.iter().filter_map(|name| self.given.get(name).map(|value| (*name, value.as_str())))
    }
}

impl Scope for Globals {
    fn get(&self, name: &str) -> Option<String> {
        self.declared.get(name).or_else(|| self.platform.get(name)).cloned()
    }
}
