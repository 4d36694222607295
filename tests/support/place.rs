//! A data root of a test's own, on which several programs work.

use std::path::{Path, PathBuf};

use plywood::{Durability, Engine, Image};

use crate::{base, victim};

/// A data root of its own, whose containers are removed when this is dropped.
#[derive(Debug)]
pub struct Place(pub victim::Directory);

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// Makes one.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new() -> Self {
        Self(victim::Directory::new())
    }

    /// The engine of a program that is given the directory of a place.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn open(directory: &Path) -> Engine {
        Engine::open_with(directory.join("root"), Durability::Fast).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// A program's view of it, and an image with a few programs.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn engine(&self) -> (Engine, Image) {
        let engine = Self::open(self.0.path());
        let image = engine.build(&base()).unwrap_or_else(|error| panic!("{error:?}"));
        (engine, image)
    }

    /// The data root.
    pub fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(engine) = Engine::open_with(self.root(), Durability::Fast) else { return };
        for container in engine.containers().into_iter().flatten() {
            let _ = container.kill_and_remove();
        }
    }
}
