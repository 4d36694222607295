//! Images: definitions, the store, tags, and archives.

mod definition;

pub use definition::{
    Add, Arg, Base, Command, Copy, CopySource, DeclaredImage, ExposedPorts, From, HealthCheck, ImageDefinition,
    Instruction, Layers, MountKind, Run, RunMount, Values, VolumePaths,
};
