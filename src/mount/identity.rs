//! Which file system lies at the root: so that an unmounted mount point is not taken for an emptied tree.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::model::RelPath;

use super::{Action, MountError};

/// What a root is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The kernel's number of the mount; another after every mount.
    pub mount_id: u64,
    /// The file system's type: `nfs4`, `ext4`.
    pub fs_type: String,
    /// Where it comes from: `server:/export`, a device.
    pub source: String,
    /// Where it is mounted, as the kernel writes it: blanks and the like as `\\040`.
    pub mount_point: String,
    /// The number of the root directory there.
    pub root_fileid: u64,
}

impl Identity {
    /// Looks at what lies at `root` now, by its path and without asking the server.
    pub fn of(root: &Path) -> Result<Self, MountError> {
        let path = RelPath::from_bytes(bytes(root));
        let failed = |errno| MountError::new(Action::Identify, &path, errno);
        let flags = AtFlags::STATX_DONT_SYNC;
        let found = statx(CWD, root, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID).map_err(failed)?;
        let table = fs::read("/proc/self/mountinfo")
            .map_err(|error| MountError::from_io(Action::Identify, &path, &error))?;
        let mount = find_mount(&table, found.stx_mnt_id).unwrap_or_default();
        Ok(Self { mount_id: found.stx_mnt_id, root_fileid: found.stx_ino, ..mount })
    }

    /// Whether the file system is reached over a network.
    #[must_use]
    pub fn is_network(&self) -> bool {
        self.fs_type.starts_with("nfs")
    }

    /// The options of this mount, as the kernel shows them: those of the mount point, then those of the file system.
    ///
    /// What is left at its default is not among them, except what client and server have agreed on (`vers`, `rsize`).
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        fs::read("/proc/self/mountinfo").map(|table| options(&table, self.mount_id)).unwrap_or_default()
    }

    /// What stays the same when the same file system is mounted again, as one line of text.
    ///
    /// Of a local file system the source is left out: device names change from boot to boot.
    #[must_use]
    pub fn lasting(&self) -> String {
        let source = if self.is_network() { self.source.as_str() } else { "local" };
        format!("{} {} {}", self.fs_type.trim_end_matches('4'), source, self.root_fileid)
    }

    /// Whether `root` still leads to this very mount.
    pub fn still_at(&self, root: &Path) -> Result<bool, MountError> {
        let flags = AtFlags::STATX_DONT_SYNC;
        let found = statx(CWD, root, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)
            .map_err(|errno| MountError::new(Action::Identify, &RelPath::from_bytes(bytes(root)), errno))?;
        Ok(found.stx_mnt_id == self.mount_id && found.stx_ino == self.root_fileid)
    }
}

/// The mount with this number, from `/proc/self/mountinfo` (see proc(5)).
fn find_mount(table: &[u8], mount_id: u64) -> Option<Identity> {
    let id = mount_id.to_string();
    let mut lines = table.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b' '));
    let mut words = lines.find(|words| words.clone().next() == Some(id.as_bytes()))?;
    let mount_point = text(words.nth(4)?);
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let (fs_type, source) = (text(words.next()?), text(words.next()?));
    Some(Identity { mount_id, fs_type, source, mount_point, root_fileid: 0 })
}

fn options(table: &[u8], mount_id: u64) -> Vec<String> {
    let id = mount_id.to_string();
    let mut lines = table.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b' '));
    let Some(words) = lines.find(|words| words.clone().next() == Some(id.as_bytes())) else {
        return Vec::new();
    };
    let of_mount_point = words.clone().nth(5).unwrap_or_default();
    let of_file_system = words.skip_while(|word| *word != b"-").nth(3).unwrap_or_default();
    [of_mount_point, of_file_system]
        .iter()
        .flat_map(|list| list.split(|byte| *byte == b','))
        .map(text)
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path's bytes as they are handed to the kernel.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 0:20 / /proc rw shared:5 - proc proc rw\n\
        36 35 0:50 / /mnt/a\\040b rw,relatime shared:1 master:2 - nfs4 server:/export rw,vers=4.2\n";

    #[test]
    fn finds_a_mount_whatever_its_optional_fields() {
        let found = |id| find_mount(TABLE, id).map(|mount| [mount.fs_type, mount.source, mount.mount_point]);
        assert_eq!(found(36), Some(["nfs4", "server:/export", "/mnt/a\\040b"].map(str::to_owned)));
        assert_eq!(found(22), Some(["proc", "proc", "/proc"].map(str::to_owned)));
        assert_eq!(found(3), None);
        assert_eq!(options(TABLE, 36), ["rw", "relatime", "rw", "vers=4.2"]);
        assert!(options(TABLE, 3).is_empty());
    }

    #[test]
    fn lasts_over_a_new_mount_and_over_a_new_device_name() {
        let nfs = Identity {
            mount_id: 1,
            fs_type: "nfs4".into(),
            source: "s:/e".into(),
            root_fileid: 2,
            ..Identity::default()
        };
        assert_eq!(nfs.lasting(), Identity { mount_id: 9, ..nfs.clone() }.lasting());
        assert_ne!(nfs.lasting(), Identity { source: "t:/e".into(), ..nfs.clone() }.lasting());
        assert_ne!(nfs.lasting(), Identity { root_fileid: 3, ..nfs }.lasting());
    }

    #[test]
    fn tells_whether_a_path_still_leads_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let identity = Identity::of(&root).unwrap();
        assert!(identity.still_at(&root).unwrap());
        std::fs::rename(&root, folder.path().join("elsewhere")).unwrap();
        assert!(identity.still_at(&root).unwrap_err().is_not_found());
        std::fs::create_dir(&root).unwrap();
        assert!(!identity.still_at(&root).unwrap());
    }
}
