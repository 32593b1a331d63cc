//! What an operator asks before and while it runs: what will it cost and give?

mod chart;
mod forecast;
mod plan;

pub use chart::svg;
pub use forecast::{Forecast, Traffic};
pub use plan::{Choice, INTERVALS, Plan, Survey, Wish, plan, render};
