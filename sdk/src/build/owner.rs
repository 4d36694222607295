//! Whom `COPY --chown` names.

use crate::container::user::resolve_user;
use crate::error::Result;
use crate::layer::view::View;

/// The numbers of `user`, `user:group` or numbers, looked up in the image's own files.
///
/// A number without a group is its own group, as in Docker.
pub(super) fn resolve(view: &View, owner: &str) -> Result<(u32, u32)> {
    let user = resolve_user(view, owner)?.user;
    let is_number = !owner.is_empty() && owner.bytes().all(|byte| byte.is_ascii_digit());
    Ok((user.uid, if is_number { user.uid } else { user.gid }))
}
