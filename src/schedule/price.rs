//! The virtual clock: how fast it goes is what an RPC is worth.
//!
//! Each directory's stride is the time between its looks at price one. The clock moves to the key of whoever is looked
//! at, and the seconds that it needs for one unit are the price: dear when much is wanted, cheap when little is. So the
//! budget is met exactly whatever the rates are, and there is no controller to tune.

use super::keys::Key;
use super::rate::fade;

/// Units of a key in one unit of virtual time: fine enough for a directory that gets a thousand files a second.
const RESOLUTION: f64 = 4096.0;

/// The longest stride: keys further apart could not be told from keys behind.
const LONGEST: f64 = (1 << 30) as f64;

/// Virtual time, and its price in seconds over the last while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Price {
    now: Key,
    /// When the clock was moved last; none before the first time.
    moved: Option<f64>,
    seconds: f64,
    units: f64,
}

impl Price {
    /// A clock that goes at `price` seconds a unit until it is measured; none for as yet unknown.
    pub(super) fn new(price: Option<f64>) -> Self {
        Self {
            now: Key(0),
            moved: None,
            seconds: price.unwrap_or(0.0),
            units: f64::from(u8::from(price.is_some())),
        }
    }

    /// Seconds a unit, if any were measured.
    pub(super) fn seconds(&self) -> Option<f64> {
        (self.units > 0.0 && self.seconds > 0.0).then(|| self.seconds / self.units)
    }

    /// The key that lies `units` ahead.
    pub(super) fn key_after(&self, units: f64) -> Key {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let distance = (units * RESOLUTION).clamp(0.0, LONGEST) as u32;
        Key(self.now.0.wrapping_add(distance))
    }

    /// Moves the clock to `key` if it lies ahead; the price is the mean over the last `memory` seconds.
    pub(super) fn move_to(&mut self, key: Key, now: f64, memory: f64) {
        let mut units = 0.0;
        if self.now.is_before(key) {
            units = f64::from(key.0.wrapping_sub(self.now.0)) / RESOLUTION;
            self.now = key;
        }
        if let Some(moved) = self.moved {
            let seconds = (now - moved).max(0.0);
            let left = fade(seconds / memory);
            self.seconds = self.seconds * left + seconds;
            self.units = self.units * left + units;
        }
        self.moved = Some(now);
    }

    /// Sets the price that holds until the clock has moved for some time, as if measured for `memory` seconds.
    pub(super) fn assume(&mut self, price: f64, memory: f64) {
        self.seconds = memory;
        self.units = memory / price;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_is_the_seconds_that_a_unit_took() {
        let mut price = Price::new(None);
        assert_eq!(price.seconds(), None);
        price.assume(7.0, 10.0);
        let mut now = 1000.0;
        for _ in 0..1000 {
            price.move_to(price.key_after(0.25), now, 10.0);
            now += 0.5;
        }
        assert!((price.seconds().unwrap() - 2.0).abs() < 0.01);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let mut price = Price::new(Some(1.0));
        let ahead = price.key_after(5.0);
        price.move_to(ahead, 1.0, 10.0);
        price.move_to(Key(0), 2.0, 10.0);
        assert_eq!(price.key_after(0.0), ahead);
        assert!(price.key_after(1e-3).0 > ahead.0 && ahead.is_before(price.key_after(1e12)));
    }
}
