//! Typed names of a definition: its ports, mount points and stages.
//!
//! A definition `Web` has constants such as `Web::HTTP: Port<Web>`; what takes one for an image of `Web` refuses that of
//! another definition when the program is compiled. The parameter is a mark only: nothing of `D` is stored.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use super::port::{ExposedPort, Protocol};

/// A port that the image of definition `D` exposes.
///
/// ```
/// use plywood::spec::Port;
/// struct Web;
/// const HTTP: Port<Web> = Port::tcp(8080);
/// assert_eq!(HTTP.number(), 8080);
/// ```
#[doc(alias = "EXPOSE")]
pub struct Port<D> {
    number: u16,
    protocol: Protocol,
    of: PhantomData<fn() -> D>,
}

impl<D> Port<D> {
    /// A TCP port.
    pub const fn tcp(number: u16) -> Self {
        Self { number, protocol: Protocol::Tcp, of: PhantomData }
    }

    /// A UDP port.
    pub const fn udp(number: u16) -> Self {
        Self { number, protocol: Protocol::Udp, of: PhantomData }
    }

    /// The number.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// TCP or UDP.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }
}

/// A directory that the image of definition `D` declares as a volume.
#[doc(alias = "VOLUME")]
pub struct MountPoint<D> {
    path: &'static str,
    of: PhantomData<fn() -> D>,
}

impl<D> MountPoint<D> {
    /// The mount point at an absolute path.
    pub const fn new(path: &'static str) -> Self {
        Self { path, of: PhantomData }
    }

    /// The path in the container.
    pub const fn path(&self) -> &'static str {
        self.path
    }
}

/// A stage of definition `D`, by its name.
#[doc(alias = "FROM … AS")]
pub struct Stage<D> {
    name: &'static str,
    of: PhantomData<fn() -> D>,
}

impl<D> Stage<D> {
    /// The stage of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<D> From<Port<D>> for ExposedPort {
    fn from(port: Port<D>) -> Self {
        ExposedPort::new(port.number, port.protocol)
    }
}

// Derived ones would ask the same of `D`.
macro_rules! without_bounds {
    ($($type:ident { $($field:ident),+ })+) => {$(
        impl<D> Clone for $type<D> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<D> Copy for $type<D> {}

        impl<D> PartialEq for $type<D> {
            fn eq(&self, other: &Self) -> bool {
                $(self.$field == other.$field)&&+
            }
        }

        impl<D> Eq for $type<D> {}

        impl<D> Hash for $type<D> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                $(self.$field.hash(state);)+
            }
        }

        impl<D> fmt::Debug for $type<D> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type))$(.field(&self.$field))+.finish()
            }
        }
    )+};
}

without_bounds! {
    Port { number, protocol }
    MountPoint { path }
    Stage { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither `Copy` nor `Debug` nor `Send`.
    struct Web(#[allow(dead_code)] *const u8);

    #[test]
    fn names_are_plain_values_whatever_the_definition_is() {
        const HTTP: Port<Web> = Port::tcp(80);
        const DATA: MountPoint<Web> = MountPoint::new("/data");
        const BUILD: Stage<Web> = Stage::new("build");
        fn shared<T: Send + Sync + Copy>(value: T) -> T {
            value
        }
        assert_eq!(shared(HTTP), HTTP);
        assert_ne!(HTTP, Port::udp(80));
        assert_eq!(shared(DATA).path(), "/data");
        assert_eq!(shared(BUILD).name(), "build");
        assert_eq!(format!("{HTTP:?} {DATA:?}"), "Port(80, Tcp) MountPoint(\"/data\")");
        assert_eq!(ExposedPort::from(HTTP).to_string(), "80/tcp");
    }
}
