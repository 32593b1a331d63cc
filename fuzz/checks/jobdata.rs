//! The text of a jobdata member. A line with a secret is planted behind the first NUL byte (or in front), and must not
//! be seen in anything that comes out.

use std::sync::LazyLock;

use nfs_scout::intake::{Limits, Redaction, read_archive};
use nfs_scout::model::{JobData, JobFigures, MAX_FIELDS, Value};

static REDACTION: LazyLock<Redaction> = LazyLock::new(Redaction::default);

pub(crate) fn check(data: &[u8]) {
    let secret = super::secret_for(data);
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (before, after) = data.split_at(at);
    let key: &[u8] = if data.len().is_multiple_of(2) { b"BOINC_AUTHENTICATOR=" } else { b"my_password =" };
    let text = [before, key, secret.as_bytes(), b"\n", after].concat();
    let file = super::gzip_stored(&tar_of(&text));
    let reading = read_archive(&file[..], &mut [0; 16_384], &Limits::default(), &REDACTION)
        .expect("a slice is always readable");
    super::archive::check_reading(&reading, &file);
    let redacted = reading.jobdata_text.as_deref().expect("a whole archive with jobdata");
    let fields = serde_json::to_string(&JobData::of(redacted)).expect("fields are JSON");
    let shown = format!("{reading:?} {fields}");
    assert!(!shown.contains(&secret), "the secret shows");
    check_fields(redacted);
}

/// What is in the fields stays in bounds, and survives being written out and read again.
fn check_fields(text: &str) {
    let mut written = String::new();
    let fields = JobData::of(text);
    assert!(fields.fields().count() <= MAX_FIELDS);
    let lines: usize = text.split(['\n', '\r']).filter(|line| !line.trim().is_empty()).count();
    assert!(fields.fields().count() + fields.odd_lines() as usize <= lines);
    for (key, value) in fields.fields() {
        written.push_str(key);
        written.push('=');
        written.push_str(&value.to_string());
        written.push('\n');
    }
    let again = JobData::of(&written);
    assert!(again.fields().eq(fields.fields()), "written out and read again, the fields differ");
    let figures = JobFigures::of(&fields);
    assert!(figures.events >= 0);
    for amount in [figures.cpuusage, figures.diskusage].into_iter().flatten() {
        assert!(amount.is_finite());
    }
    assert!(
        fields.fields().all(|(_, value)| !matches!(value, Value::Text(text) if text.contains(['\n', '\r'])))
    );
}

fn tar_of(text: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("jobdata").expect("a short name");
    header.set_size(text.len() as u64);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend_from_slice(text);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}
