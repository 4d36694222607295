//! Who a process runs as: `USER` looked up in the container's own passwd and group.
//!
//! The rules are those of Docker's `GetExecUser`: a user that passwd knows brings its group, its home and the groups that
//! list it; a number that passwd does not know is taken as it is, with group 0; a group that is named replaces all of it.
//! Nothing that fails to parse ever becomes root.
//!
//! Both files belong to the image, so both are read up to a limit and never trusted: a line that makes no sense is no
//! account.

use crate::error::{Error, ErrorKind, Fault, Result};
use crate::layer::view::View;
use crate::runtime::ResolvedUser;
use crate::spec::user::{Account, User};

/// No passwd of a real system comes near; beyond it the file is an attack on our memory (CVE-2026-47262).
const MAX_FILE: usize = 1 << 20;
const MAX_LINE: usize = 8 << 10;
const MAX_LINES: usize = 10_000;

/// Where a user lives who has no home of his own.
const NO_HOME: &str = "/";

/// A user as the kernel needs it, and where it is at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: ResolvedUser,
    pub(crate) home: String,
}

#[derive(Debug, thiserror::Error)]
enum UserFault {
    #[error("find user {0:?}: /etc/passwd of the container has no such user")]
    NoUser(String),
    #[error("find group {0:?}: /etc/group of the container has no such group")]
    NoGroup(String),
    #[error("read {file} of the container: it has more than {what}")]
    Large { file: &'static str, what: String },
}

impl Fault for UserFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoUser(_) | Self::NoGroup(_) => ErrorKind::InvalidArgument,
            Self::Large { .. } => ErrorKind::LimitExceeded,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoUser(_) | Self::NoGroup(_) => Some("give a number, or add the name in the image".to_owned()),
            Self::Large { .. } => None,
        }
    }
}

/// Looks a user up in a container's files. An empty text means root.
pub(crate) fn resolve_user(view: &View, user: &str) -> Result<Identity> {
    let user = if user.is_empty() { User::ROOT } else { User::parse(user)? };
    let passwd = read(view, "/etc/passwd")?;
    let group = read(view, "/etc/group")?;
    resolve(&passwd, &group, &user)
}

/// Looks groups up in a container's files; numbers are taken as they are.
pub(crate) fn resolve_groups(view: &View, groups: &[String]) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    if groups.is_empty() {
        return Ok(found);
    }
    let file = read(view, "/etc/group")?;
    for wanted in groups {
        found.push(match User::parse(&format!("0:{wanted}"))?.group() {
            Some(Account::Id(id)) => *id,
            _ => lines("/etc/group", &file)?
                .filter_map(Group::parse)
                .find(|group| group.name == wanted)
                .map(|group| group.gid)
                .ok_or_else(|| UserFault::NoGroup(wanted.clone()))?,
        });
    }
    Ok(found)
}

fn read(view: &View, path: &'static str) -> Result<Vec<u8>> {
    match view.read_capped(path, MAX_FILE) {
        Ok(bytes) => Ok(bytes.unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::LimitExceeded => {
            Err(Error::from(UserFault::Large { file: path, what: format!("{MAX_FILE} bytes") }).with_source(error))
        }
        Err(error) => Err(error),
    }
}

fn resolve(passwd: &[u8], group: &[u8], user: &User) -> Result<Identity> {
    let mut found: Option<Entry> = None;
    for entry in lines("/etc/passwd", passwd)?.filter_map(Entry::parse) {
        let matches = match user.user() {
            Account::Id(id) => entry.uid == *id,
            Account::Name(name) => entry.name == name,
        };
        if matches {
            found = Some(entry);
            break;
        }
    }
    let (uid, mut gid) = match (&found, user.user()) {
        (Some(entry), _) => (entry.uid, entry.gid),
        (None, Account::Id(id)) => (*id, 0),
        (None, Account::Name(name)) => return Err(UserFault::NoUser(name.clone()).into()),
    };
    let mut groups = Vec::new();
    match user.group() {
        Some(Account::Id(id)) => gid = *id,
        Some(Account::Name(name)) => {
            gid = lines("/etc/group", group)?
                .filter_map(Group::parse)
                .find(|group| group.name == name)
                .map(|group| group.gid)
                .ok_or_else(|| UserFault::NoGroup(name.clone()))?;
        }
        None => {
            if let Some(entry) = &found {
                let listed = lines("/etc/group", group)?.filter_map(Group::parse);
                groups.extend(listed.filter(|group| group.has(entry.name)).map(|group| group.gid));
            }
        }
    }
    // The primary group comes first and every group once: negative group permissions hold only for groups one has.
    let mut all = vec![gid];
    for group in groups {
        if !all.contains(&group) {
            all.push(group);
        }
    }
    let home = found.map(|entry| entry.home).filter(|home| home.starts_with('/')).unwrap_or(NO_HOME);
    Ok(Identity { user: ResolvedUser { uid, gid, groups: all }, home: home.to_owned() })
}

/// The lines of a file, within the limits; what is not UTF-8 is no line.
fn lines<'a>(file: &'static str, bytes: &'a [u8]) -> Result<impl Iterator<Item = &'a str>> {
    let all = || bytes.split(|&byte| byte == b'\n');
    if all().take(MAX_LINES + 2).count() > MAX_LINES + 1 {
        return Err(UserFault::Large { file, what: format!("{MAX_LINES} lines") }.into());
    }
    if all().any(|line| line.len() > MAX_LINE) {
        return Err(UserFault::Large { file, what: format!("{MAX_LINE} bytes in a line") }.into());
    }
    Ok(all().filter_map(|line| std::str::from_utf8(line).ok()))
}

/// passwd(5): `name:password:uid:gid:gecos:home:shell`.
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = id(fields.nth(1)?)?;
        let gid = id(fields.next()?)?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Self { name, uid, gid, home })
    }
}

/// group(5): `name:password:gid:user,user`.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    users: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = id(fields.nth(1)?)?;
        Some(Self { name, gid, users: fields.next().unwrap_or_default() })
    }

    fn has(&self, user: &str) -> bool {
        self.users.split(',').any(|name| name == user)
    }
}

/// A number by the same rule as in `USER`: digits only, within range.
fn id(text: &str) -> Option<u32> {
    match User::parse(text).ok()?.user() {
        Account::Id(id) => Some(*id),
        Account::Name(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\n\nbroken\napp:x:1000:1001:App:/srv/app:/bin/sh\n\xff\xfe:x:5:5::/:\n\
        big:x:4294967296:0::/:\nneg:x:-1:0::/:\nnohome:x:7:7\n";
    const GROUP: &[u8] = b"root:x:0:root\napp:x:1001:\nstaff:x:50:app,root\nwheel:x:10:other,app\nagain:x:50:app\n";

    fn of(user: &str) -> Result<Identity> {
        resolve(PASSWD, GROUP, &User::parse(user)?)
    }

    #[test]
    fn users_resolve_as_in_docker() {
        let table: [(&str, u32, u32, &[u32], &str); 8] = [
            ("root", 0, 0, &[0, 50], "/root"),
            ("0", 0, 0, &[0, 50], "/root"),
            ("app", 1000, 1001, &[1001, 50, 10], "/srv/app"),
            ("1000", 1000, 1001, &[1001, 50, 10], "/srv/app"),
            ("app:wheel", 1000, 10, &[10], "/srv/app"),
            ("app:77", 1000, 77, &[77], "/srv/app"),
            ("4242", 4242, 0, &[0], "/"),
            ("nohome", 7, 7, &[7], "/"),
        ];
        for (text, uid, gid, groups, home) in table {
            let user = ResolvedUser { uid, gid, groups: groups.to_vec() };
            assert_eq!(of(text).unwrap(), Identity { user, home: home.to_owned() }, "{text}");
        }
    }

    #[test]
    fn unknown_names_and_accounts_beyond_the_range_are_refused() {
        for text in ["nobody", "big", "neg", "broken", "app:nogroup"] {
            assert_eq!(of(text).unwrap_err().kind(), ErrorKind::InvalidArgument, "{text}");
        }
        assert_eq!(
            of("nobody").unwrap_err().to_string(),
            "find user \"nobody\": /etc/passwd of the container has no such user"
        );
    }

    #[test]
    fn a_flood_of_accounts_is_refused() {
        let lines = "a:x:1:1::/:\n".repeat(MAX_LINES + 1);
        let error = resolve(lines.as_bytes(), b"", &User::ROOT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        let line = format!("root:x:0:0:{}:/root:\n", "x".repeat(MAX_LINE));
        assert_eq!(resolve(line.as_bytes(), b"", &User::ROOT).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert!(resolve("a:x:1:1::/:\n".repeat(MAX_LINES).as_bytes(), b"", &User::ROOT).is_ok());
    }

    #[test]
    fn empty_files_know_no_names_but_every_number() {
        let identity = resolve(b"", b"", &User::ROOT).unwrap();
        assert_eq!(identity.user, ResolvedUser { uid: 0, gid: 0, groups: vec![0] });
        assert!(resolve(b"", b"", &User::parse("root").unwrap()).is_err());
    }
}
