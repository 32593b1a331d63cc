//! Slows down when the server does.
//!
//! The round-trip time of a look is compared with its own baseline on this mount: additive increase, multiplicative
//! decrease (Chiu & Jain 1989), driven by delay instead of loss as in TCP Vegas (Brakmo & Peterson 1995). What it gives
//! are two numbers: the share of the budget that is spent, and how many calls may be under way.
//!
//! It begins with a few calls under way and doubles them for as long as the answers come as fast as before (slow start:
//! Jacobson 1988). So the baseline is that of a server at rest, and the cold walk of a tree finds what its server bears.

use std::time::Duration;

use crate::model::Timestamp;

/// Round-trip times that make up one reading: their median, so that one slow answer is no slow server.
const SAMPLES: usize = 9;

/// How many times the baseline is slow.
const SLOW: u32 = 2;

/// What is added to that: a machine's own scheduling delays are no news of the server.
const SLACK: Duration = Duration::from_millis(4);

/// What is left of share and room after a slow reading.
const DECREASE: f64 = 0.7;

/// What a good reading gives back of the share.
const INCREASE: f64 = 0.05;

/// The least share.
const LEAST_SHARE: f64 = 0.02;

/// The fewest calls under way: with one, a single hung call would stop everything.
const LEAST_ROOM: f64 = 2.0;

/// The least time between two steps: the last one must have had its effect first.
const STEP: Duration = Duration::from_millis(200);

/// Calls under way at first.
const FIRST_ROOM: f64 = 8.0;

/// How long a baseline stands at least, and twice that at most: a server that is slower for good becomes the usual.
const EPOCH: Duration = Duration::from_secs(300);

/// How long there is no room and no answer until calls count as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// How fast one mount may be asked, as its answers tell.
#[derive(Debug, Clone)]
pub struct Brake {
    most: f64,
    room: f64,
    share: f64,
    /// Whether the room that the server bears was not found yet.
    searching: bool,
    /// Calls a second that are made however slow the server is.
    needed: f64,
    samples: Vec<Duration>,
    last_step: Timestamp,
    reading: Option<Duration>,
    /// The least readings of this epoch and of the one before.
    least: [Option<Duration>; 2],
    epoch_began: Timestamp,
}

impl Brake {
    /// Free to spend everything, with a few calls under way and later at most `most`.
    #[must_use]
    pub fn new(most: usize, now: Timestamp) -> Self {
        let most = f64::from(u32::try_from(most).unwrap_or(u32::MAX)).max(LEAST_ROOM);
        Self {
            most,
            room: FIRST_ROOM.min(most),
            share: 1.0,
            searching: FIRST_ROOM < most,
            needed: 0.0,
            samples: Vec::with_capacity(SAMPLES),
            last_step: now,
            reading: None,
            least: [None; 2],
            epoch_began: now,
        }
    }

    /// Notes that one RPC took so long; tells whether share or room may have changed.
    pub fn observe(&mut self, round_trip: Duration, now: Timestamp) -> bool {
        self.samples.push(round_trip);
        if self.samples.len() < SAMPLES || now.since(self.last_step) < self.pause() {
            // Of a long row without a step only the end tells how it is now.
            if self.samples.len() >= 4 * SAMPLES {
                self.samples.drain(..2 * SAMPLES);
            }
            return false;
        }
        self.samples.sort_unstable();
        let median = self.samples.get(self.samples.len() / 2).copied().unwrap_or_default();
        self.samples.clear();
        self.last_step = now;
        self.reading = Some(median);
        self.learn(median, now);
        let is_slow = median > self.baseline().unwrap_or(median) * SLOW + SLACK;
        if self.searching {
            // Slow answers are our own doing here: they cost room, but no share.
            self.room =
                if is_slow { self.room * DECREASE } else { self.room * 2.0 }.clamp(LEAST_ROOM, self.most);
            self.searching = !is_slow && self.room < self.most;
        } else if is_slow {
            self.share = (self.share * DECREASE).max(LEAST_SHARE);
            self.room = (self.room * DECREASE).max(LEAST_ROOM);
        } else {
            self.share = (self.share + INCREASE).min(1.0);
            self.room = (self.room + 1.0).min(self.most);
        }
        true
    }

    /// The time until the last step has had its effect.
    fn pause(&self) -> Duration {
        if self.searching { self.reading.unwrap_or_default() * 2 } else { STEP }
    }

    fn learn(&mut self, reading: Duration, now: Timestamp) {
        if now.since(self.epoch_began) >= EPOCH {
            self.least = [None, self.least[0]];
            self.epoch_began = now;
        }
        self.least[0] = Some(self.least[0].map_or(reading, |least| least.min(reading)));
    }

    /// Leaves room for so many calls a second in any case.
    pub fn keep(&mut self, calls_per_second: f64) {
        self.needed = calls_per_second;
    }

    /// What is usual: the least reading of the last five to ten minutes; `None` before the first.
    #[must_use]
    pub fn baseline(&self) -> Option<Duration> {
        self.least.into_iter().flatten().min()
    }

    /// The last reading; `None` before the first.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.reading
    }

    /// The share of the budget to spend, more than 0 and at most 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share
    }

    /// How many calls may be under way: by Little's law no fewer than what is needed takes, twice over.
    #[must_use]
    pub fn room(&self) -> usize {
        let needed = 2.0 * self.needed * self.reading.unwrap_or_default().as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 2 and `most`")]
        let room = self.room.max(needed.ceil()).min(self.most) as usize;
        room
    }

    /// The same beside so many calls that are stuck, and all together at most what was allowed.
    #[must_use]
    pub fn room_beside(&self, stuck: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, and at least 2"
        )]
        let most = self.most as usize;
        (self.room() + stuck).min(most)
    }
}

/// Calls that hang while others would be answered: one of the server's disks is away. Else as few of them as there is
/// room for would stop the looks at everything else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stuck {
    calls: usize,
    still_since: Timestamp,
}

impl Stuck {
    /// How many they are.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Notes that a call returned, with so many still under way.
    pub fn returned(&mut self, under_way: usize, now: Timestamp) {
        *self = Self { calls: self.calls.min(under_way), still_since: now };
    }

    /// Notes how it stands: without room for one more and without an answer, all that are under way are stuck in the end.
    pub fn observe(&mut self, has_room: bool, under_way: usize, now: Timestamp) {
        if has_room {
            self.still_since = now;
        } else if now.since(self.still_since) >= STUCK_AFTER {
            *self = Self { calls: under_way, still_since: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A mount that answers after `round_trip` for so long, asked every 10 ms.
    fn go(brake: &mut Brake, from: u64, milliseconds: u64, round_trip: Duration) -> u64 {
        for at in (from..from + milliseconds).step_by(10) {
            brake.observe(round_trip, Timestamp::default().plus(Duration::from_millis(at)));
        }
        from + milliseconds
    }

    const FAST: Duration = Duration::from_millis(1);
    const SLOW_NOW: Duration = Duration::from_millis(50);

    #[test]
    fn slows_down_with_the_server_and_recovers() {
        let mut brake = Brake::new(64, Timestamp::default());
        let now = go(&mut brake, 0, 5_000, FAST);
        assert!((brake.share() - 1.0).abs() < f64::EPSILON && brake.room() == 64);
        let now = go(&mut brake, now, 5_000, SLOW_NOW);
        assert!(brake.share() < 0.1 && brake.room() < 8, "{} {}", brake.share(), brake.room());
        assert_eq!(brake.round_trip(), Some(SLOW_NOW));
        go(&mut brake, now, 20_000, FAST);
        assert!((brake.share() - 1.0).abs() < f64::EPSILON && brake.room() == 64);
    }

    /// A server that answers `at_once` calls in a millisecond each and lets the others wait their turn; returns the most
    /// calls that it had under way, and how many at the end.
    fn ask(brake: &mut Brake, at_once: usize, milliseconds: u64) -> (usize, usize) {
        let mut most = 0;
        for at in 0..milliseconds {
            let now = Timestamp::default().plus(Duration::from_millis(at));
            let under_way = brake.room();
            most = most.max(under_way);
            let turns = u32::try_from(under_way.div_ceil(at_once)).unwrap();
            for _ in 0..under_way {
                brake.observe(Duration::from_millis(1) * turns, now);
            }
        }
        (most, brake.room())
    }

    #[test]
    fn finds_what_a_server_bears_within_moments() {
        let mut brake = Brake::new(256, Timestamp::default());
        assert_eq!(brake.room(), 8);
        assert_eq!(ask(&mut brake, 1000, 50), (256, 256), "more than we may");
        let mut brake = Brake::new(256, Timestamp::default());
        let (most, then) = ask(&mut brake, 8, 100);
        assert!(most <= 64 && then >= 8 && then < most, "{most} {then}");
        assert!((brake.share() - 1.0).abs() < f64::EPSILON, "the search costs no share");
    }

    #[test]
    fn a_server_that_is_slower_for_good_becomes_the_usual() {
        let mut brake = Brake::new(64, Timestamp::default());
        let now = go(&mut brake, 0, 5_000, FAST);
        let now = go(&mut brake, now, 60_000, SLOW_NOW);
        assert_eq!(brake.baseline(), Some(FAST));
        go(&mut brake, now, 11 * 60_000, SLOW_NOW);
        assert_eq!(brake.baseline(), Some(SLOW_NOW));
        assert!((brake.share() - 1.0).abs() < f64::EPSILON && brake.room() == 64);
    }

    #[test]
    fn what_is_needed_has_room_however_slow_the_server() {
        let mut brake = Brake::new(64, Timestamp::default());
        brake.keep(300.0);
        let now = go(&mut brake, 0, 5_000, FAST);
        go(&mut brake, now, 5_000, SLOW_NOW);
        assert_eq!(brake.room(), 30, "300 calls a second of 50 ms each, twice over");
    }

    /// Calls start as there is room, those of the first `hanging` never return, the others at once.
    #[test]
    fn calls_that_hang_take_no_room_from_others() {
        let (brake, mut stuck) = (Brake::new(64, Timestamp::default()), Stuck::default());
        let (mut hanging, mut answered) = (0, Vec::new());
        for second in 0..120 {
            let now = Timestamp::default().plus(Duration::from_secs(second));
            if second == 60 {
                // The disk is back.
                (1..=hanging).rev().for_each(|left| stuck.returned(left - 1, now));
                hanging = 0;
            }
            let room = |stuck: &Stuck| brake.room_beside(stuck.calls());
            while hanging < 20 && second < 60 && hanging < room(&stuck) {
                hanging += 1;
            }
            let has_room = hanging < room(&stuck);
            if has_room {
                answered.push(second);
                stuck.returned(hanging, now);
            }
            stuck.observe(has_room, hanging, now);
        }
        assert_eq!(answered.first(), Some(&21), "8 hang at once, 8 more after 10 s, then the last 4");
        assert_eq!(answered.len(), 99, "from then on others are answered");
        assert_eq!(stuck.calls(), 0);
        assert_eq!(brake.room_beside(1000), 64);
    }

    #[test]
    fn one_slow_answer_is_no_slow_server() {
        let mut brake = Brake::new(8, Timestamp::default());
        for number in 0..1000_u32 {
            let round_trip = if number % 9 == 0 { Duration::from_secs(1) } else { FAST };
            brake.observe(round_trip, Timestamp::default().plus(Duration::from_millis(10) * number));
        }
        assert!((brake.share() - 1.0).abs() < f64::EPSILON && brake.room() == 8);
    }

    proptest! {
        #[test]
        fn never_stops_and_never_exceeds(
            times in proptest::collection::vec((0..100_000_u64, 0..2_000_u64), 1..500),
            most in 1..500_usize,
        ) {
            let (mut brake, mut now) = (Brake::new(most, Timestamp::default()), Timestamp::default());
            for (round_trip, pause) in times {
                now = now.plus(Duration::from_millis(pause));
                brake.observe(Duration::from_micros(round_trip), now);
                prop_assert!(brake.share() >= LEAST_SHARE && brake.share() <= 1.0);
                prop_assert!(brake.room() >= 2 && brake.room() <= most.max(2));
                prop_assert!(brake.samples.len() <= 4 * SAMPLES);
            }
        }
    }
}
