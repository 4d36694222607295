//! plywood: containers as Rust values.
//!
//! A program declares images, containers and volumes; an [`Engine`] turns the declarations into overlay2 layer stacks
//! and namespaced Linux processes, in the calling process. There is no daemon, and where the kernel allows it no need of
//! root; when the program ends, so do its containers. The store on disk is laid out as Docker's data root.
//!
//! ```no_run
//! use std::time::Duration;
//! use plywood::{Base, Container, Engine, Mount, layers};
//!
//! layers! {
//!     /// Says what is in a directory.
//!     pub struct Lister;
//!
//!     FROM {Base::host(["sh", "ls"])};
//!     RUN "echo hello > /hello";
//!     VOLUME "/data" as DATA;
//!     CMD ["ls", "-l", "/data"];
//! }
//!
//! fn main() -> plywood::Result<()> {
//!     let engine = Engine::open_default()?;
//!     let image = engine.build(&Lister)?;
//!     let data = engine.volume("data")?;
//!
//!     // To its end, with what it wrote.
//!     let output = Container::of(&image).mount(data.at(Lister::DATA)).output(&engine)?;
//!     println!("{}", String::from_utf8_lossy(&output.stdout));
//!
//!     // A service: a guard, which kills and removes the container when it is dropped.
//!     let shell = Container::of(&image)
//!         .cmd(["sh", "-c", "while :; do read line; done"])
//!         .mount(Mount::tmpfs("/tmp"))
//!         .start(&engine)?;
//!     assert!(shell.exec(["ls", "/hello"]).status()?.success());
//!     shell.stop(Duration::from_secs(5))?;
//!     Ok(())
//! }
//! ```
//!
//! # Words
//!
//! * A **definition** is a value: [`Layers`] or a type that `layers!` declares for an image,
//!   [`container::Definition`] for a container. It does no I/O, and mistakes in it are told when it is used.
//! * An [`Engine`] is one data root, open. It is cheap to clone, and may be used by many threads and programs at once.
//! * An [`Image`] is a stack of read-only [`Layer`]s with a configuration, in the store. Containers of an image share its
//!   layers, and each has a writable layer of its own.
//! * A [`Container`] that a program has made is a **guard**: dropping it kills and removes the container. If the program
//!   is killed, its containers are too, and the next one that opens the store removes what is left.
//! * A [`Volume`] is named data that outlives containers.
//!
//! # What calls do
//!
//! Every call blocks until it is done, in any thread; there is no runtime and no state but the data root (the feature
//! `tokio` has them as futures, in `plywood::aio`). An [`Error`]
//! names what was attempted, on what, and why it failed; its [`kind`](Error::kind) is what a program can act on, and its
//! [`hint`](Error::hint) what a person can do.
//!
//! # What it does not do
//!
//! It runs Linux programs on Linux, with the kernel of the host. It does not guard against a kernel that is broken into, and
//! it changes nothing on the host outside its data root but the cgroups of its containers: no firewall rules, no settings of
//! the kernel.
//!
//! # Environment variables
//!
//! `PLYWOOD_ROOT` is the data root of [`Engine::open_default`], and `PLYWOOD_DRIVER` the [storage driver](driver) of data
//! roots that are new.

extern crate self as plywood;

// The order in which to read the code: ground first, then the two pillars, then what joins them.
mod error;
mod sys;
pub mod spec;
mod logs;
mod runtime;
mod data_root;
mod archive;
pub mod driver;
mod layer;
pub mod image;
pub mod volume;
mod network;
mod host;
pub mod container;
pub mod build;
pub mod prune;
pub mod fsck;
mod engine;
pub mod testing;
#[cfg(feature = "tokio")]
pub mod aio;
pub mod doctor;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

pub use container::Container;
pub use data_root::Durability;
pub use doctor::doctor;
pub use driver::StorageDriver;
pub use engine::{Engine, EngineOptions, VolumeSnapshot};
pub use error::{Error, ErrorKind, Result};
pub use image::{Base, Image, ImageDefinition, Layers};
pub use layer::Layer;
pub use network::Network;
pub use plywood_macros::{dockerfile, layers, template, test};
pub use runtime::oci;
pub use spec::{
    ByteSize, ContainerId, ContainerPath, ExitStatus, ImageId, Mount, MountPoint, Platform, Port, Reference, Stage,
    Timestamp,
};
pub use volume::Volume;
