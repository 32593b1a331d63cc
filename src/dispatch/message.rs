//! How a handover is spelled for others: the JSON message, and the bodies and headers of the queue.
//!
//! Pure, and the same bytes at every retry. This is the only place that decides how to spell a name that is not
//! UTF-8: `path` then holds replacement characters and `path_bytes` the bytes themselves in base64.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::model::{Handover, JobData, Run, Seq};

/// The version of the message's shape.
pub const SCHEMA: &str = "nfs-scout/1";

/// What a queue message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Body {
    /// The whole message as JSON.
    #[default]
    Json,
    /// The redacted text of the `jobdata` member, empty for a file without one.
    Jobdata,
    /// `FILE_CREATED : <absolute path>`, as the daemon wrote it that this agent replaces.
    Legacy,
}

impl Body {
    /// Every body, by the words of the command line.
    pub const ALL: [Self; 3] = [Self::Json, Self::Jobdata, Self::Legacy];

    /// The word of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jobdata => "jobdata",
            Self::Legacy => "legacy",
        }
    }

    /// The MIME type of the body.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jobdata | Self::Legacy => "text/plain",
        }
    }

    /// The bytes of the message.
    #[must_use]
    pub fn encode(self, handover: &Handover) -> Vec<u8> {
        match self {
            Self::Json => json_of(handover).into_bytes(),
            Self::Jobdata => handover.jobdata_text.clone().unwrap_or_default().into_bytes(),
            Self::Legacy => [b"FILE_CREATED : ", absolute_path(handover).as_slice()].concat(),
        }
    }
}

/// The handover as one line of JSON without the newline.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "cannot happen")]
pub fn json_of(handover: &Handover) -> String {
    // Strings, numbers and maps with string keys always serialize.
    serde_json::to_string(&Message::of(handover)).expect("a message has no value that JSON cannot hold")
}

/// The path below the root as text; bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn path_text(handover: &Handover) -> Cow<'_, str> {
    String::from_utf8_lossy(handover.path.as_bytes())
}

/// The file's absolute path in bytes.
#[must_use]
pub fn absolute_path(handover: &Handover) -> Vec<u8> {
    let mut path = handover.root.clone();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(handover.path.as_bytes());
    path
}

/// The line that `inotifywait -m -r` prints of a file that was written and closed: folder, event, name.
///
/// Names are bytes there and here; only control characters, which it prints as they are, are escaped, so that no name can
/// forge another's line.
pub(crate) fn inotifywait_line(handover: &Handover) -> Vec<u8> {
    let path = absolute_path(handover);
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (folder, name) = path.split_at(end);
    let plain = |bytes: &[u8]| bytes.iter().flat_map(|byte| escaped_control(*byte)).collect::<Vec<u8>>();
    [&plain(folder), &b" CLOSE_WRITE,CLOSE "[..], &plain(name), b"\n"].concat()
}

fn escaped_control(byte: u8) -> Vec<u8> {
    if byte.is_ascii_control() { byte.escape_ascii().collect() } else { vec![byte] }
}

#[derive(Serialize)]
struct Message<'a> {
    schema: &'static str,
    id: String,
    seq: Seq,
    kind: &'static str,
    path: Cow<'a, str>,
    root: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_bytes: Option<String>,
    size: u64,
    mtime: String,
    blake3: String,
    detected_at: String,
    not_before: Option<String>,
    analysis: Verdict<'a>,
    jobdata: Option<JobData<'a>>,
    run: Option<Run<'a>>,
    experiments: &'a [String],
}

#[derive(Serialize)]
struct Verdict<'a> {
    status: &'static str,
    detail: Option<&'a str>,
}

impl<'a> Message<'a> {
    fn of(handover: &'a Handover) -> Self {
        let jobdata = handover.jobdata();
        Self {
            schema: SCHEMA,
            id: handover.id.to_string(),
            seq: handover.seq,
            kind: handover.kind.as_str(),
            path: path_text(handover),
            root: String::from_utf8_lossy(&handover.root),
            path_bytes: base64_unless_text(handover.path.as_bytes()),
            root_bytes: base64_unless_text(&handover.root),
            size: handover.stamp.size,
            mtime: handover.stamp.mtime.to_string(),
            blake3: handover.blake3.to_string(),
            detected_at: handover.detected_at.to_string(),
            not_before: handover.not_before.map(|time| time.to_string()),
            analysis: Verdict {
                status: handover.analysis.status.as_str(),
                detail: handover.analysis.detail.as_deref(),
            },
            run: jobdata.as_ref().and_then(JobData::run),
            jobdata,
            experiments: &handover.experiments,
        }
    }
}

fn base64_unless_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).is_err().then(|| STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Analysis, AnalysisStatus, ContentHash, Kind, MessageId, RelPath, Stamp, Timestamp};

    const JOBDATA: &str =
        "jobid=11862984\nrun=pp winclusive 7000 10 - pythia8 8.170 default-noFsr\nexitcode=0\n";

    fn job() -> Handover {
        let detected_at = Timestamp { seconds: 1_795_341_600, nanoseconds: 5 };
        Handover {
            seq: 42,
            id: MessageId([0xab; 32]),
            kind: Kind::Appeared,
            root: b"/mnt/copilot-output".to_vec(),
            path: RelPath::from("2026/11/22/job-42.tgz"),
            stamp: Stamp { size: 15_331, mtime: detected_at, ctime: detected_at, fileid: 7 },
            blake3: ContentHash([0xcd; 32]),
            detected_at,
            not_before: Some(Timestamp { seconds: 1_795_341_590, nanoseconds: 0 }),
            analysis: Analysis { status: AnalysisStatus::Ok, detail: None },
            jobdata_text: Some(JOBDATA.to_owned()),
            figures: None,
            experiments: vec!["ATLAS".to_owned()],
        }
    }

    fn broken() -> Handover {
        Handover {
            kind: Kind::Broken,
            root: b"/".to_vec(),
            path: RelPath::from_bytes(*b"a/\xff.tgz"),
            not_before: None,
            analysis: Analysis { status: AnalysisStatus::Truncated, detail: Some("ends early".to_owned()) },
            jobdata_text: None,
            experiments: Vec::new(),
            ..job()
        }
    }

    #[track_caller]
    fn check(handover: &Handover, body: Body, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&body.encode(handover)), expected);
    }

    #[test]
    fn spells_a_job() {
        let (id, hash) = ("ab".repeat(32), "cd".repeat(32));
        let expected = format!(
            concat!(
                r#"{{"schema":"nfs-scout/1","id":"{}","seq":42,"kind":"appeared","#,
                r#""path":"2026/11/22/job-42.tgz","root":"/mnt/copilot-output","#,
                r#""size":15331,"mtime":"2026-11-22T10:00:00.000000005Z","blake3":"{}","#,
                r#""detected_at":"2026-11-22T10:00:00.000000005Z","not_before":"2026-11-22T09:59:50.000000000Z","#,
                r#""analysis":{{"status":"ok","detail":null}},"#,
                r#""jobdata":{{"jobid":11862984,"run":"pp winclusive 7000 10 - pythia8 8.170 default-noFsr","#,
                r#""exitcode":0}},"#,
                r#""run":{{"beam":"pp","process":"winclusive","energy":"7000","params":"10","specific":"-","#,
                r#""generator":"pythia8","version":"8.170","tune":"default-noFsr"}},"#,
                r#""experiments":["ATLAS"]}}"#
            ),
            id, hash
        );
        check(&job(), Body::Json, &expected);
        check(&job(), Body::Jobdata, JOBDATA);
        check(&job(), Body::Legacy, "FILE_CREATED : /mnt/copilot-output/2026/11/22/job-42.tgz");
    }

    #[test]
    fn spells_a_broken_file_whose_name_is_not_text() {
        let (id, hash) = ("ab".repeat(32), "cd".repeat(32));
        let expected = format!(
            concat!(
                r#"{{"schema":"nfs-scout/1","id":"{}","seq":42,"kind":"broken","#,
                "\"path\":\"a/\u{fffd}.tgz\",",
                r#""root":"/","path_bytes":"YS//LnRneg==","#,
                r#""size":15331,"mtime":"2026-11-22T10:00:00.000000005Z","blake3":"{}","#,
                r#""detected_at":"2026-11-22T10:00:00.000000005Z","not_before":null,"#,
                r#""analysis":{{"status":"truncated","detail":"ends early"}},"#,
                r#""jobdata":null,"run":null,"experiments":[]}}"#
            ),
            id, hash
        );
        check(&broken(), Body::Json, &expected);
        check(&broken(), Body::Jobdata, "");
        assert_eq!(Body::Legacy.encode(&broken()), b"FILE_CREATED : /a/\xff.tgz");
    }

    #[test]
    fn spells_a_root_that_is_not_text() {
        let json = json_of(&Handover { root: b"/\xfe".to_vec(), ..job() });
        assert!(json.contains(r#""root_bytes":"L/4=","size""#), "{json}");
        assert!(!json.contains("path_bytes"), "{json}");
    }

    #[test]
    fn keeps_a_line_a_line() {
        let json = json_of(&Handover { path: RelPath::from("a\nb\"c"), ..job() });
        assert!(json.contains(r#""path":"a\nb\"c""#), "{json}");
        assert!(!json.contains('\n'));
    }
}
