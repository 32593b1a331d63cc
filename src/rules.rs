//! Which names count: files to hand over, files to read as job archives, directories to enter. Names are bytes.
//!
//! Pure: says nothing of what a name turns out to be (a FIFO called `x.tgz` is an archive here).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::model::RelPath;

/// Names that are nobody's finished file: leftovers of NFS, of editors and transfers, and hidden ones.
pub const JUNK: [&str; 7] = [".nfs*", ".*", "*.tmp", "*.part", "*~", ".snapshot", "lost+found"];

/// Names that are read as job archives unless `--archive` says otherwise.
pub const ARCHIVES: [&str; 2] = ["*.tgz", "*.tar.gz"];

/// What a file's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Not to be looked at.
    Ignored,
    /// To be handed over, and read as a job archive.
    Archive,
    /// To be handed over with its hash alone.
    Plain,
}

/// The patterns, compiled once.
///
/// A pattern is held against the name, or, if it holds a `/` before its end, against the whole path below the
/// root, where `*` stops at a `/` and `**` does not. One that ends in `/` is about directories only.
#[derive(Debug, Clone)]
pub struct FileRules {
    include: Globs,
    exclude_files: Globs,
    exclude_directories: Globs,
    archive: Globs,
    texts: [Vec<String>; 2],
}

impl FileRules {
    /// Compiles; an empty `include` takes every file. Fails only on a set that is too large.
    pub fn new<'a>(
        include: impl IntoIterator<Item = &'a str>,
        exclude: impl IntoIterator<Item = &'a str>,
        archive: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, globset::Error> {
        let (include, exclude): (Vec<&str>, Vec<&str>) =
            (include.into_iter().collect(), exclude.into_iter().collect());
        let texts = [&include, &exclude].map(|list| list.iter().map(ToString::to_string).collect());
        let of_files = exclude.iter().copied().filter(|pattern| !pattern.ends_with('/'));
        Ok(Self {
            include: Globs::new(include)?,
            exclude_files: Globs::new(of_files)?,
            exclude_directories: Globs::new(exclude.iter().copied())?,
            archive: Globs::new(archive)?,
            texts,
        })
    }

    /// The patterns as they were given: what is included, what is excluded.
    #[must_use]
    pub fn texts(&self) -> &[Vec<String>; 2] {
        &self.texts
    }

    /// What is to be done with the file `name` of `directory`.
    #[must_use]
    pub fn judge(&self, directory: &RelPath, name: &[u8]) -> Judgement {
        let included = self.include.is_empty() || self.include.hit(directory, name);
        if !included || self.exclude_files.hit(directory, name) {
            Judgement::Ignored
        } else if self.archive.hit(directory, name) {
            Judgement::Archive
        } else {
            Judgement::Plain
        }
    }

    /// Whether the directory `name` of `directory` is entered.
    #[must_use]
    pub fn enters(&self, directory: &RelPath, name: &[u8]) -> bool {
        !self.exclude_directories.hit(directory, name)
    }
}

/// The built-in rules: everything but junk, `*.tgz` and `*.tar.gz` being archives.
impl Default for FileRules {
    fn default() -> Self {
        Self::new([], JUNK, ARCHIVES).expect("the built-in patterns compile")
    }
}

/// Patterns for names and patterns for whole paths; a path is put together only if one of the latter exists.
#[derive(Debug, Clone)]
struct Globs {
    names: GlobSet,
    paths: GlobSet,
}

impl Globs {
    fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, globset::Error> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let pattern = pattern.trim_end_matches('/');
            let glob = GlobBuilder::new(pattern.trim_start_matches('/')).literal_separator(true).build()?;
            if pattern.contains('/') {
                paths.add(glob)
            } else {
                names.add(glob)
            };
        }
        Ok(Self { names: names.build()?, paths: paths.build()? })
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.paths.is_empty()
    }

    fn hit(&self, directory: &RelPath, name: &[u8]) -> bool {
        self.names.is_match(path_of(name))
            || (!self.paths.is_empty() && self.paths.is_match(path_of(directory.join(name).as_bytes())))
    }
}

fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(include: &[&str], exclude: &[&str]) -> FileRules {
        let exclude = JUNK.iter().chain(exclude).copied();
        FileRules::new(include.iter().copied(), exclude, ARCHIVES).unwrap()
    }

    #[track_caller]
    fn check(rules: &FileRules, path: &[u8], expected: Judgement) {
        let path = RelPath::from_bytes(path);
        assert_eq!(rules.judge(&path.parent().unwrap(), path.name()), expected, "{path}");
    }

    #[track_caller]
    fn check_enters(rules: &FileRules, path: &str, expected: bool) {
        let path = RelPath::from(path);
        assert_eq!(rules.enters(&path.parent().unwrap(), path.name()), expected, "{path}");
    }

    #[test]
    fn leaves_junk_alone() {
        use Judgement::{Archive, Ignored, Plain};
        let rules = FileRules::default();
        check(&rules, b"a/job.tgz", Archive);
        check(&rules, b"job.tar.gz", Archive);
        check(&rules, b"\xff\xfe.tgz", Archive);
        check(&rules, b"new\nline.tgz", Archive);
        check(&rules, b"result.root", Plain);
        check(&rules, b"a/.nfs0001", Ignored);
        check(&rules, b".job.tgz", Ignored);
        check(&rules, b"job.tgz.tmp", Ignored);
        check(&rules, b"\xff.part", Ignored);
        check(&rules, b"job.tgz~", Ignored);
        check_enters(&rules, "2026/11", true);
        check_enters(&rules, ".snapshot", false);
        check_enters(&rules, "a/.hidden", false);
        check_enters(&rules, "lost+found", false);
    }

    #[test]
    fn follows_the_given_patterns() {
        use Judgement::{Archive, Ignored};
        let chosen = rules(&["*.tgz", "raw/**/*.dat"], &["bad-*", "old/*.tgz", "scratch/", "/top", "a/*/c"]);
        check(&chosen, b"x.tgz", Archive);
        check(&chosen, b"x.dat", Ignored);
        check(&chosen, b"raw/1/2/x.dat", Judgement::Plain);
        check(&chosen, b"deep/bad-x.tgz", Ignored);
        check(&chosen, b"old/x.tgz", Ignored);
        check(&chosen, b"very/old/x.tgz", Archive);
        check(&chosen, b"old/er/x.tgz", Archive);
        check(&rules(&["scratch", "top"], &["scratch/"]), b"scratch", Judgement::Plain);
        check_enters(&chosen, "b/scratch", false);
        check_enters(&chosen, "top", false);
        check_enters(&chosen, "b/top", true);
        check_enters(&chosen, "a/b/c", false);
        check_enters(&chosen, "a/b/b/c", true);
    }
}
