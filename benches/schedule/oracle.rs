//! The stationary oracle: the constant interval of each directory that gives files the least mean latency.
//!
//! Wanted: the least sum of `l s / 2` with a mean cost of `sum (1 + L (1 - exp(-n s))) / s = B`, where `l` are files
//! and `n` changes a second and `L` RPCs a listing. Without listing cost that is the square-root law
//! `s = sqrt(2 mu / l)`; with it, a fixed point that is tried from both ends.

use crate::script::{Frame, Mean};

/// The part of the bound that intervals stay under, so that the bound itself changes nothing.
const WITHIN: f64 = 0.95;
/// No directory is looked at sooner than this again, in seconds.
const SHORTEST: f64 = 0.01;

/// `1 - (1 + x) exp(-x)`: whether a Poisson process has two events or more.
pub(crate) fn second(x: f64) -> f64 {
    1.0 - (1.0 + x) * (-x).exp()
}

/// The best intervals, in seconds. A LOOKUP for each file is paid whatever the intervals.
pub(crate) fn intervals(means: &[Mean], frame: &Frame) -> Vec<f64> {
    let files: f64 = means.iter().map(|mean| mean.files).sum();
    let budget = frame.budget - files;
    let longest = frame.promise * WITHIN;
    let all = |price: f64| means.iter().map(move |mean| interval(mean, price, longest));
    let (mut low, mut high) = (1e-9_f64, 1e9_f64);
    for _ in 0..48 {
        let price = (low * high).sqrt();
        let cost: f64 = means.iter().zip(all(price)).map(|(mean, interval)| cost(mean, interval)).sum();
        if cost > budget {
            low = price;
        } else {
            high = price;
        }
    }
    all(high).collect()
}

/// RPCs a second at this interval, LOOKUPs excluded.
fn cost(mean: &Mean, interval: f64) -> f64 {
    (1.0 + mean.listing * -(-mean.changes * interval).exp_m1()) / interval
}

/// The best interval of one directory at this price of an RPC.
fn interval(mean: &Mean, price: f64, longest: f64) -> f64 {
    if mean.files <= 0.0 {
        return longest;
    }
    let short = settle(mean, price, SHORTEST).clamp(SHORTEST, longest);
    if mean.listing < 8.0 {
        return short;
    }
    let long = settle(mean, price, longest).clamp(SHORTEST, longest);
    let loss = |interval: f64| mean.files * interval / 2.0 + price * cost(mean, interval);
    if loss(short) <= loss(long) { short } else { long }
}

fn settle(mean: &Mean, price: f64, from: f64) -> f64 {
    let mut interval = from;
    for _ in 0..100 {
        let better =
            (2.0 * price * (1.0 + mean.listing * second(mean.changes * interval)) / mean.files).sqrt();
        let moved = (better / interval - 1.0).abs();
        interval = better;
        if moved < 1e-3 {
            break;
        }
    }
    interval
}
