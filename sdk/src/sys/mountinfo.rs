//! `/proc/<pid>/mountinfo`: [`proc_pid_mountinfo(5)`](https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html).

use std::path::PathBuf;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountInfo {
    /// Number of the mount.
    pub id: u64,
    /// Which part of the file system it shows.
    pub root: PathBuf,
    /// Where it is.
    pub target: PathBuf,
    /// Options of this mount, such as `ro`.
    pub options: String,
    /// Such as `ext4`.
    pub file_system: String,
    /// Such as a device.
    pub source: String,
    /// Options of the file system.
    pub super_options: String,
}

/// Reads the text; lines of another form are left out.
pub(crate) fn parse(text: &str) -> Vec<MountInfo> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<MountInfo> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ');
    let mut file_system = file_system.split(' ');
    Some(MountInfo {
        id: mount.next()?.parse().ok()?,
        root: unescape(mount.nth(2)?).into(),
        target: unescape(mount.next()?).into(),
        options: mount.next()?.to_owned(),
        file_system: file_system.next()?.to_owned(),
        source: unescape(file_system.next()?),
        super_options: file_system.next()?.to_owned(),
    })
}

/// Space, tab, line feed, backslash and `#` are written as `\040`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                whole.push(char::from(byte));
                whole.push_str(&part[3..]);
            }
            None => {
                whole.push('\\');
                whole.push_str(part);
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_and_escapes_are_read() {
        let text = "36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n\
                    bad line\n37 35 0:5 / /x ro - tmpfs none rw\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].id, mounts[0].target.to_str()), (36, Some("/mnt two")));
        assert_eq!((mounts[0].root.to_str(), mounts[0].options.as_str()), (Some("/mnt1"), "rw,noatime"));
        assert_eq!((mounts[0].file_system.as_str(), mounts[0].source.as_str()), ("ext3", "/dev/root"));
        assert_eq!(mounts[1].super_options, "rw");
    }
}
