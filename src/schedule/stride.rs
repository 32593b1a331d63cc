//! How long to wait for the next look: the square-root law, for rates that fade and listings that cost.
//!
//! A look pays when the waiting that it would end is worth its price. With `r(u)` the rate expected `u` seconds after
//! the last look, that is when the integral of `u r(u)` reaches `price^2 / 2` times the expected RPCs of the look. For a
//! constant rate the integral is `r s^2 / 2`, which gives the square-root law `s = price / sqrt(r)` (Sia, Cho & Cho
//! 2007). For a rate that fades it has one solution or none: a burst that is over is not worth a look of its own.

use super::rate::{MEMORY, decay};
use super::weights::Forecast;

/// Fixed-point steps: the start is right for a constant rate, and each step comes nearer from below, by less than the one
/// before. One that changes less than a part of `CLOSE` is the last.
const STEPS: usize = 3;
const CLOSE: f64 = 0.005;

/// Below this ratio of the time to a scale's memory, a series is exacter than the closed form.
const SMALL: f64 = 0.01;

/// Seconds to the next look at `price`; `listing` RPCs beside the GETATTR if there was an arrival by then.
///
/// Right as far as it is less than `most`; beyond, no more than a lower bound.
pub(super) fn seconds(forecast: &Forecast, price: f64, listing: f64, most: f64) -> f64 {
    let mut seconds = price / forecast.total().sqrt();
    for _ in 0..STEPS {
        if seconds >= most {
            break;
        }
        let left = decay(seconds);
        let mut rate = forecast.base;
        for ((part, memory), left) in forecast.scales.iter().zip(MEMORY).zip(left) {
            rate += part * fading(seconds / memory, left);
        }
        // Most directories never changed while they were watched, and exponentials are dear.
        let changed = if listing > 0.0 { second(rate * seconds) } else { 0.0 };
        let before = std::mem::replace(&mut seconds, price * ((1.0 + listing * changed) / rate).sqrt());
        if (seconds - before).abs() < seconds * CLOSE {
            break;
        }
    }
    seconds
}

/// The probability of two arrivals or more where so many are expected: of a listing that an earlier look would not have
/// spared.
fn second(arrivals: f64) -> f64 {
    1.0 - (1.0 + arrivals) * (-arrivals).exp()
}

/// The mean, weighted with time, of a rate that fades to `left` = exp(-`ratio`): one for no fading.
fn fading(ratio: f64, left: f64) -> f64 {
    if ratio < SMALL {
        1.0 - ratio * (2.0 / 3.0)
    } else {
        2.0 * (1.0 - (1.0 + ratio) * left) / (ratio * ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(rate: f64) -> Forecast {
        Forecast { scales: [0.0; 4], base: rate }
    }

    #[test]
    fn a_constant_rate_gets_the_square_root_law() {
        assert!((seconds(&steady(0.25), 3.0, 0.0, 1e6) - 6.0).abs() < 1e-9);
        assert!((seconds(&steady(4.0), 3.0, 0.0, 1e6) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn a_fading_rate_waits_longer_and_a_lasting_one_as_long() {
        let burst = |scale: usize| {
            let mut forecast = steady(0.0001);
            forecast.scales[scale] = 0.25;
            seconds(&forecast, 10.0, 0.0, 1e6)
        };
        assert!((burst(3) - 20.0).abs() < 0.1);
        assert!(burst(0) > 30.0 && burst(1) < 21.0);
    }

    #[test]
    fn dear_listings_are_made_less_often() {
        // Changed for certain by then: 101 RPCs a look.
        let dear = seconds(&steady(1.0), 3.0, 100.0, 1e6);
        assert!((dear - 3.0 * 101.0_f64.sqrt()).abs() < 0.1);
        // Hardly ever changed: the listing is not paid at each look.
        assert!(seconds(&steady(1e-6), 3.0, 100.0, 1e6) < 3000.0 * 1.01);
    }

    #[test]
    fn fading_is_continuous() {
        let closed = fading(SMALL, (-SMALL).exp());
        assert!((closed - fading(SMALL * 0.999_999, 0.0)).abs() < 1e-4);
    }
}
