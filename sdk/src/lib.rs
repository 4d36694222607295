//! plywood: containers as Rust values.
//!
//! A program declares images, containers and volumes; an [`Engine`] turns the declarations into overlay2 layer stacks
//! and namespaced processes, in the calling process and without a daemon. The store is laid out as Docker's data root.

#![allow(dead_code)] // removed once the rooms are joined

extern crate self as plywood;

// The order in which to read the code: ground first, then the two pillars, then what joins them.
mod error;
pub mod spec;
mod sys;
mod logs;
mod runtime;
mod data_root;
mod archive;
mod driver;
mod layer;
pub mod image;
pub mod volume;
mod host;
pub mod container;
pub mod build;
pub mod prune;
mod engine;

pub use container::Container;
pub use data_root::Durability;
pub use engine::Engine;
pub use error::{Error, ErrorKind, Result};
pub use image::{Base, Image, ImageDefinition, Layers};
pub use layer::Layer;
pub use plywood_macros::layers;
pub use spec::{
    ByteSize, ContainerId, ContainerPath, ExitStatus, ImageId, Mount, MountPoint, Platform, Port, Reference, Stage,
    Timestamp,
};
pub use volume::Volume;
