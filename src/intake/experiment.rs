//! Which experiment an analysis in an archive belongs to: `ATLAS` for `dat/pp/…/7000/ATLAS_2010_S8919674.dat`.
//!
//! Any well-formed prefix counts under its own name, so that a new experiment needs no new release.

/// The longest name that counts: it becomes part of a key in Redis, and a job's owner chooses it.
const MAX_NAME_BYTES: usize = 32;

/// The experiment of the member `path`, if it is `dat/**/NAME_YEAR_*.dat`.
///
/// NAME is of capital letters and digits, a letter first (`UA1`, `D0`), YEAR of four digits. `path` is without `./` in front.
pub(super) fn experiment_of(path: &[u8]) -> Option<String> {
    let name = path.strip_prefix(b"dat/")?.rsplit(|byte| *byte == b'/').next()?;
    let mut parts = name.strip_suffix(b".dat")?.splitn(3, |byte| *byte == b'_');
    let (experiment, year, _analysis) = (parts.next()?, parts.next()?, parts.next()?);
    let well_formed = experiment.len() <= MAX_NAME_BYTES
        && experiment.first().is_some_and(u8::is_ascii_uppercase)
        && experiment.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && year.len() == 4
        && year.iter().all(u8::is_ascii_digit);
    well_formed.then(|| String::from_utf8_lossy(experiment).into_owned())
}

#[cfg(test)]
mod tests {
    use super::experiment_of;

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        assert_eq!(experiment_of(path.as_bytes()).as_deref(), expected);
    }

    #[test]
    fn names_experiments() {
        check("dat/pp/winclusive/pt/atlas9-mu-1/7000/ATLAS_2010_S8919674.dat", Some("ATLAS"));
        check("dat/UA1_1990_S2044935.dat", Some("UA1"));
        check("dat/D0_2008_S7719523.dat", Some("D0"));
        check("dat/ee/BELLE2_2030_I1_b.dat", Some("BELLE2"));
    }

    #[test]
    fn passes_over_what_is_no_analysis() {
        check("dat/pp/pythia8/8.170/default-noFsr.dat", None);
        check("ATLAS_2010_S8919674.dat", None);
        check("data/ATLAS_2010_S8919674.dat", None);
        check("dat/ATLAS_2010_S8919674.params", None);
        check("dat/ATLAS_2010_S8919674.dat/", None);
        check("dat/ATLAS_2010.dat", None);
        check("dat/ATLAS_20101_S1.dat", None);
        check("dat/ATLAS_201x_S1.dat", None);
        check("dat/Atlas_2010_S1.dat", None);
        check("dat/_2010_S1.dat", None);
        check("dat/2010_2011_S1.dat", None);
        check("dat/AT:LAS_2010_S1.dat", None);
        check(&format!("dat/{}_2010_S1.dat", "A".repeat(32)), Some(&"A".repeat(32)));
        check(&format!("dat/{}_2010_S1.dat", "A".repeat(33)), None);
    }
}
