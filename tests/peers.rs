//! The parts of `benches/peers` that decide something: when a pass was, and what of a page is replaced.
//!
//! A bench has no tests of its own, so they stand here.

#[path = "../benches/peers/page.rs"]
#[expect(dead_code, reason = "shared with the bench, which writes the page too")]
mod page;
#[path = "../benches/peers/rhythm.rs"]
mod rhythm;

mod passes {
    use std::time::{Duration, Instant};

    use super::rhythm::{Sample, passes};

    /// What passes show in a load of so many tenths of a CPU, each for so many milliseconds.
    #[track_caller]
    fn check(load: &[(u32, u64)], expected_ms: &[u128]) {
        const STEP: Duration = Duration::from_millis(100);
        let mut last = Sample { at: Instant::now(), cpu: Duration::ZERO };
        let mut samples = vec![last];
        for (tenths, ms) in load {
            for _ in 0..*ms / 100 {
                last = Sample { at: last.at + STEP, cpu: last.cpu + STEP / 10 * *tenths };
                samples.push(last);
            }
        }
        let found: Vec<u128> = passes(&samples).iter().map(Duration::as_millis).collect();
        assert_eq!(found, expected_ms);
    }

    #[test]
    fn bursts_between_rests_are_passes() {
        check(&[(0, 2_000), (10, 3_000), (0, 2_000), (8, 1_000), (0, 2_000)], &[3_000, 1_000]);
        check(&[(0, 2_000), (1, 3_000), (0, 2_000)], &[]);
        check(&[], &[]);
    }

    #[test]
    fn a_short_pause_is_within_a_pass() {
        check(&[(0, 2_000), (10, 1_000), (0, 500), (10, 1_000), (0, 2_000)], &[2_500]);
    }

    #[test]
    fn what_is_cut_off_is_not_counted() {
        check(&[(10, 3_000), (0, 2_000), (10, 1_000), (0, 2_000)], &[1_000]);
        check(&[(0, 2_000), (10, 3_000)], &[]);
        check(&[(0, 2_000), (10, 3_000), (0, 500)], &[]);
    }
}

mod section {
    use super::page::replaced;

    const PAGE: &str = "a\n<!-- t: begin, by a bench -->\nold\n<!-- t: end -->\nb\n";

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = replaced(PAGE, "t", "new\n").expect("both marks");
        assert_eq!(page, "a\n<!-- t: begin, by a bench -->\nnew\n<!-- t: end -->\nb\n");
        assert_eq!(replaced(&page, "t", "old"), Ok(PAGE.to_owned()));
    }

    #[test]
    fn a_missing_mark_is_named() {
        assert_eq!(replaced(PAGE, "u", "new"), Err("docs/nfs.md has no mark `<!-- u: begin`".to_owned()));
        let cut = PAGE.replace("<!-- t: end -->", "");
        assert_eq!(replaced(&cut, "t", "new"), Err("docs/nfs.md has no mark `<!-- t: end -->`".to_owned()));
    }
}
