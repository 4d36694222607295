//! Another name for a container.

use std::sync::OnceLock;

use super::create::attempted;
use super::events::Action;
use super::handle::Handle;
use super::store::to_json;
use crate::data_root::atomic;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::spec::name::ContainerName;

/// The names that a container had, and has: those that were given out as `&str` stay where they are.
#[derive(Debug)]
pub(super) struct Name {
    text: String,
    next: OnceLock<Box<Name>>,
}

impl Name {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), next: OnceLock::new() }
    }

    /// The one it has.
    pub(super) fn last(&self) -> &str {
        let mut name = self;
        while let Some(next) = name.next.get() {
            name = next;
        }
        &name.text
    }

    /// Adds one.
    pub(super) fn follow(&self, text: &str) {
        let mut name = self;
        let mut new = Box::new(Self::new(text));
        while let Err(back) = name.next.set(new) {
            new = back;
            match name.next.get() {
                Some(next) => name = next,
                // What is set stays set.
                None => return,
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the name is taken by container {id}")]
struct Taken {
    id: String,
}

impl Fault for Taken {
    fn kind(&self) -> ErrorKind {
        ErrorKind::AlreadyExists
    }

    fn hint(&self) -> Option<String> {
        Some("remove that container or choose another name".to_owned())
    }
}

impl Handle {
    /// Gives it another name, on disk and for all handles of this program.
    pub(crate) fn rename(&self, name: &str) -> Result<()> {
        self.try_rename(name).map_err(|error| attempted(format!("rename {} to {name:?}", self.title()), error))
    }

    fn try_rename(&self, name: &str) -> Result<()> {
        let name = ContainerName::parse(name)?;
        // A program that runs it would write the old name back.
        let _entry = if self.lock().owner.is_none() { Some(self.own()?) } else { None };
        let mut files = self.files()?;
        let store = self.store();
        let _held = store.lock_names()?;
        match store.is_taken(name.as_str())? {
            Some(id) if id == *self.id() => return Ok(()),
            Some(id) => return Err(Error::from(Taken { id: id.short().to_owned() })),
            None => {}
        }
        files.config.name = format!("/{name}");
        let path = store.root().container_config(self.id());
        atomic::write(&path, &to_json(&files.config)?, 0o600, store.root().durability())?;
        if let Some(own) = &mut self.lock().files {
            own.config.name = files.config.name;
        }
        let old = self.name().to_owned();
        self.call(name.as_str());
        self.tell_with(Action::Rename, "oldName", old);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_names_stay_where_they_are() {
        let name = Name::new("a");
        let first = name.last();
        name.follow("b");
        name.follow("c");
        assert_eq!((first, name.last()), ("a", "c"));
    }
}
