//! What a check says, and what all of them together mean.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::model::RelPath;

/// How bad it is; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing needs to be done.
    Note,
    /// Files come late, cost more than they need, or depend on nothing going wrong.
    Warning,
    /// Files are not found, not handed over, or can be lost.
    Fault,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Fault => "fault",
        })
    }
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// The mount and what lies on it.
    Mount,
    /// Redis or `RabbitMQ`.
    Broker,
    /// The agent's own place on this machine.
    Own,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub area: Area,
    /// What was checked.
    pub check: String,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
    /// What to do; only where something is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(area: Area, check: &str, evidence: impl Into<String>) -> Self {
        let (check, evidence) = (plain(check), plain(&evidence.into()));
        Self { area, check, verdict: Verdict::Ok, evidence, remedy: None }
    }

    pub(super) fn bad(
        area: Area,
        check: &str,
        verdict: Verdict,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict, remedy: Some(plain(&remedy.into())), ..Self::ok(area, check, evidence) }
    }
}

/// What servers and mount tables say, so that it cannot forge a line: escaped as paths are.
pub(super) fn plain(text: &str) -> String {
    if text.is_empty() { String::new() } else { RelPath::from(text).to_string() }
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The directory, escaped.
    pub path: String,
    /// One or more a check.
    pub findings: Vec<Finding>,
    /// The line of `/etc/fstab` that suits this mount; `None` if it is no NFS mount.
    pub fstab: Option<String>,
}

impl Diagnosis {
    /// The worst verdict.
    #[must_use]
    pub fn worst(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// What has a fault, the mount first, then a broker.
    #[must_use]
    pub fn faulty(&self) -> Option<Area> {
        let has_fault = |area| self.findings.iter().any(|it| it.verdict == Verdict::Fault && it.area == area);
        [Area::Mount, Area::Broker, Area::Own].into_iter().find(|area| has_fault(*area))
    }
}

/// The diagnosis for a terminal.
#[must_use]
pub fn render_diagnosis(diagnosis: &Diagnosis) -> String {
    let mut text = format!("{}\n", diagnosis.path);
    for Finding { check, verdict, evidence, remedy, .. } in &diagnosis.findings {
        let _ = writeln!(text, "{verdict:<8} {check}: {evidence}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "         -> {remedy}");
        }
    }
    if let Some(line) = &diagnosis.fstab {
        let _ = writeln!(text, "\nFor /etc/fstab:\n{line}");
    }
    let count = |verdict| diagnosis.findings.iter().filter(|finding| finding.verdict == verdict).count();
    let _ = writeln!(
        text,
        "\n{} checks ok, {} notes, {} warnings, {} faults",
        count(Verdict::Ok),
        count(Verdict::Note),
        count(Verdict::Warning),
        count(Verdict::Fault)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(findings: &[(Area, Verdict)]) -> Diagnosis {
        let finding = |(area, verdict): &(Area, Verdict)| match verdict {
            Verdict::Ok => Finding::ok(*area, "a check", "seen"),
            verdict => Finding::bad(*area, "a check", *verdict, "seen", "to do"),
        };
        let findings = findings.iter().map(finding).collect();
        Diagnosis { path: "/mnt/a".to_owned(), findings, fstab: Some("a line".to_owned()) }
    }

    #[track_caller]
    fn check(findings: &[(Area, Verdict)], worst: Verdict, faulty: Option<Area>) {
        let diagnosis = diagnosis(findings);
        assert_eq!((diagnosis.worst(), diagnosis.faulty()), (worst, faulty));
    }

    #[test]
    fn names_the_worst_and_where_the_fault_is() {
        use Area::{Broker, Mount, Own};
        use Verdict::{Fault, Note, Ok, Warning};
        check(&[(Mount, Ok), (Own, Ok)], Ok, None);
        check(&[(Mount, Warning), (Broker, Note)], Warning, None);
        check(&[(Own, Fault)], Fault, Some(Own));
        check(&[(Own, Fault), (Broker, Fault)], Fault, Some(Broker));
        check(&[(Broker, Fault), (Mount, Fault)], Fault, Some(Mount));
    }

    #[test]
    fn nothing_told_can_forge_a_line() {
        let finding = Finding::bad(Area::Broker, "a\nb", Verdict::Note, "x\u{1b}[2Jy", "\u{202e}z");
        assert_eq!((finding.check.as_str(), finding.evidence.as_str()), (r"a\nb", r"x\u{1b}[2Jy"));
        assert_eq!(finding.remedy.as_deref(), Some(r"\u{202e}z"));
    }

    #[test]
    fn renders_remedies_and_the_count() {
        let text = render_diagnosis(&diagnosis(&[(Area::Mount, Verdict::Ok), (Area::Own, Verdict::Fault)]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1..4], ["ok       a check: seen", "fault    a check: seen", "         -> to do"]);
        assert!(text.ends_with("a line\n\n1 checks ok, 0 notes, 0 warnings, 1 faults\n"), "{text}");
    }
}
