//! What an operator asks before and while it runs: what will it cost and give, and what is wrong?

mod chart;
mod doctor;
mod forecast;
mod plan;

pub use chart::svg;
pub use doctor::{
    Area, BrokerFacts, ClockFacts, Diagnosis, Facts, Finding, Health, LimitFacts, MountFacts, Path,
    QueueFacts, StateFacts, TreeFacts, Verdict, diagnose, render_diagnosis,
};
pub use forecast::{Forecast, Traffic};
pub use plan::{Choice, INTERVALS, Plan, Survey, Wish, plan, render};
