//! Argument types of the builder: one or several strings, ports, paths.

/// One or several strings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values(Vec<String>);

impl Values {
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

impl From<&str> for Values {
    fn from(value: &str) -> Self {
        Self(vec![value.to_owned()])
    }
}

impl From<String> for Values {
    fn from(value: String) -> Self {
        Self(vec![value])
    }
}

impl From<&String> for Values {
    fn from(value: &String) -> Self {
        Self(vec![value.clone()])
    }
}

impl<T: ToString, const N: usize> From<[T; N]> for Values {
    fn from(values: [T; N]) -> Self {
        values.as_slice().into()
    }
}

impl<T: ToString> From<Vec<T>> for Values {
    fn from(values: Vec<T>) -> Self {
        values.as_slice().into()
    }
}

impl<T: ToString> From<&[T]> for Values {
    fn from(values: &[T]) -> Self {
        Self(values.iter().map(T::to_string).collect())
    }
}

/// One or several ports of a container: `8080`, `"53/udp"`, a named port, or an array of one of these.
///
/// A port without a protocol is TCP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExposedPorts(Vec<String>);

impl ExposedPorts {
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

impl From<u16> for ExposedPorts {
    fn from(number: u16) -> Self {
        Self(vec![format!("{number}/tcp")])
    }
}

impl From<&str> for ExposedPorts {
    fn from(port: &str) -> Self {
        // A variable may hold the protocol too, so only digits are completed here.
        let number_only = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        Self(vec![if number_only { format!("{port}/tcp") } else { port.to_owned() }])
    }
}

impl From<String> for ExposedPorts {
    fn from(port: String) -> Self {
        port.as_str().into()
    }
}

impl<T: Into<ExposedPorts>, const N: usize> From<[T; N]> for ExposedPorts {
    fn from(ports: [T; N]) -> Self {
        Self(ports.into_iter().flat_map(|port| port.into().0).collect())
    }
}

impl<T: Into<ExposedPorts>> From<Vec<T>> for ExposedPorts {
    fn from(ports: Vec<T>) -> Self {
        Self(ports.into_iter().flat_map(|port| port.into().0).collect())
    }
}

/// One or several paths where an image wants volumes: a path, a named mount point, or an array of one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumePaths(Vec<String>);

impl VolumePaths {
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

impl From<&str> for VolumePaths {
    fn from(path: &str) -> Self {
        Self(vec![path.to_owned()])
    }
}

impl From<String> for VolumePaths {
    fn from(path: String) -> Self {
        Self(vec![path])
    }
}

impl<T: Into<VolumePaths>, const N: usize> From<[T; N]> for VolumePaths {
    fn from(paths: [T; N]) -> Self {
        Self(paths.into_iter().flat_map(|path| path.into().0).collect())
    }
}

impl<T: Into<VolumePaths>> From<Vec<T>> for VolumePaths {
    fn from(paths: Vec<T>) -> Self {
        Self(paths.into_iter().flat_map(|path| path.into().0).collect())
    }
}
