//! What is wrong with a mount, its brokers and the agent's own place, judged from facts that others gathered.
//!
//! Each check is a pure function from facts to findings: `mount` judges the mount and how it is reached, `tree` what
//! lies on it, `clock` what is known of the server's time, `brokers` the sinks, `own` state directory and limits.
//! `facts` is what they are told, `finding` what they say.
//!
//! *Never here*: a look at anything, a remedy that writes to the mount.

mod brokers;
mod clock;
mod facts;
mod finding;
mod mount;
mod own;
mod tree;

pub use clock::ClockFacts;
pub use facts::{
    BrokerFacts, Facts, Health, LimitFacts, MountFacts, Path, QueueFacts, StateFacts, TreeFacts,
};
pub use finding::{Area, Diagnosis, Finding, Verdict, render_diagnosis};

/// Judges all facts.
#[must_use]
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let mut findings = Vec::new();
    match &facts.mount {
        Ok(mount) => {
            findings.extend(mount::check(mount));
            findings.extend(tree::check(&facts.tree, mount));
            findings.push(clock::check(&facts.tree.clock));
        }
        Err(reason) => findings.push(mount::unreadable(reason)),
    }
    findings.extend(facts.redis.iter().flat_map(brokers::redis));
    findings.extend(facts.queue.iter().flat_map(brokers::queue));
    findings.extend(own::state(&facts.state));
    findings.push(own::limits(&facts.limits, &facts.tree));
    let fstab = facts.mount.as_ref().ok().and_then(mount::fstab_line);
    Diagnosis { path: facts.path.to_string(), findings, fstab }
}
