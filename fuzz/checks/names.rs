//! Names as an NFS server hands them out: any bytes. The first line feed parts root and path, so that both are fuzzed.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nfs_scout::dispatch::{Body, json_of};
use nfs_scout::model::{
    Analysis, AnalysisStatus, ContentHash, Handover, Kind, MessageId, RelPath, Stamp, Timestamp,
};
use nfs_scout::rules::FileRules;
use serde_json::Value;

static RULES: LazyLock<FileRules> = LazyLock::new(|| {
    let exclude = ["scratch/", "old/**/x?[a-c]*", "*.{tmp,part}", ".*"];
    FileRules::new(["**", "a/*.tgz"], exclude, ["*.tgz", "2026/**"]).expect("well-formed patterns")
});

pub(crate) fn check(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (root, path) = data.split_at(at);
    let path = RelPath::from_bytes(path);
    check_text(&path);
    check_parts(&path);
    let _ = RULES.judge(&path.parent().unwrap_or_default(), path.name());
    let _ = RULES.enters(&path, path.name());
    check_message(&handover_of(root, path));
}

/// A name cannot forge a line, nor turn the reading direction of one.
fn check_text(path: &RelPath) {
    let text = path.to_string();
    let forges = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(forges), "{text:?}");
    assert!(!text.is_empty());
}

fn check_parts(path: &RelPath) {
    if let Some(parent) = path.parent() {
        let bytes = path.as_bytes();
        assert!(bytes.starts_with(parent.as_bytes()) && bytes.ends_with(path.name()));
        assert!(!path.name().contains(&b'/'));
        // A path of the right form has no empty component.
        if bytes.split(|byte| *byte == b'/').all(|part| !part.is_empty()) {
            assert_eq!(parent.join(path.name()), *path);
            assert_eq!(path.components().fold(RelPath::root(), |all, part| all.join(part)), *path);
        }
    }
}

/// A message is one line of JSON from which the very bytes of the name come back.
pub(crate) fn check_message(handover: &Handover) {
    let json = json_of(handover);
    assert!(!json.contains('\n'));
    assert_eq!(Body::Json.encode(handover), json.as_bytes());
    let message: Value = serde_json::from_str(&json).expect("a message is JSON");
    assert_eq!(bytes_of(&message, "path"), handover.path.as_bytes());
    assert_eq!(bytes_of(&message, "root"), handover.root);
    assert_eq!(message["id"].as_str().map(str::len), Some(64));
    let legacy = Body::Legacy.encode(handover);
    assert!(legacy.starts_with(b"FILE_CREATED : ") && legacy.ends_with(handover.path.as_bytes()));
}

fn bytes_of(message: &Value, key: &str) -> Vec<u8> {
    let text = message[key].as_str().expect("a text");
    match message.get(format!("{key}_bytes")) {
        Some(bytes) => {
            let bytes = STANDARD.decode(bytes.as_str().expect("a text")).expect("base64");
            assert_eq!(String::from_utf8_lossy(&bytes), text);
            assert!(
                std::str::from_utf8(&bytes).is_err(),
                "the bytes are there though the text says them all"
            );
            bytes
        }
        None => text.as_bytes().to_vec(),
    }
}

fn handover_of(root: &[u8], path: RelPath) -> Handover {
    let content = ContentHash([7; 32]);
    let time = Timestamp { seconds: 1_795_341_600, nanoseconds: 5 };
    Handover {
        seq: 1,
        id: MessageId::of(&path, &content),
        kind: Kind::Appeared,
        root: root.to_vec(),
        path,
        stamp: Stamp { size: 1, mtime: time, ctime: time, fileid: 7 },
        blake3: content,
        detected_at: time,
        not_before: None,
        analysis: Analysis { status: AnalysisStatus::Unread, detail: None },
        jobdata_text: None,
        figures: None,
        experiments: Vec::new(),
    }
}
