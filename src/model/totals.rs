//! The statistics as a whole: what all gains add up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::figures::{Counts, Scores};
use super::{Board, Counter, Gain};

/// Every figure of every namespace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Totals {
    namespaces: BTreeMap<String, Namespace>,
}

/// A job adds to some ten figures of a namespace, most of them its user's: these are found by one look for the user.
#[derive(Debug, Clone, PartialEq, Default)]
struct Namespace {
    counts: Counts,
    members: BTreeMap<String, Member>,
}

/// A member of rankings: a user, a generator, or both under one name.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Member {
    /// Whether it is a user who took part.
    pub is_user: bool,
    /// Its scores.
    pub scores: Scores,
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure<'a> {
    /// A counter.
    Count {
        /// Of which namespace.
        namespace: &'a str,
        /// Which counter.
        counter: Counter,
        /// Never negative.
        value: i64,
    },
    /// The score of a member in a ranking.
    Score {
        /// Of which namespace.
        namespace: &'a str,
        /// Which ranking.
        board: Board,
        /// Whose score.
        member: &'a str,
        /// Finite.
        value: f64,
    },
    /// A user took part.
    User {
        /// In which namespace.
        namespace: &'a str,
        /// Who.
        user: &'a str,
    },
}

/// How a figure that is there and another one become one.
#[derive(Debug, Clone, Copy)]
struct Joining {
    counts: fn(i64, i64) -> i64,
    scores: fn(f64, f64) -> f64,
}

/// Counters stop at their largest value rather than wrap.
const SUM: Joining = Joining { counts: i64::saturating_add, scores: |known, by| known + by };

const LARGEST: Joining = Joining { counts: i64::max, scores: f64::max };

impl Totals {
    /// Adds what one handover does.
    pub fn add(&mut self, gain: &Gain<'_>) {
        self.add_where(gain, |_, _| true);
    }

    /// Adds what one handover does to the counters of a namespace (no member) or to a member, where `is_wanted`.
    pub(crate) fn add_where(&mut self, gain: &Gain<'_>, is_wanted: impl Fn(&str, Option<&str>) -> bool) {
        for name in gain.namespaces() {
            change(&mut self.namespaces, name, |namespace| {
                if is_wanted(name, None) {
                    for (known, by) in namespace.counts.iter_mut().zip(gain.counts) {
                        join(known, by, SUM.counts);
                    }
                }
                for (member, by) in gain.members().filter(|(member, _)| is_wanted(name, Some(member))) {
                    change(&mut namespace.members, member, |known| {
                        known.is_user |= by.is_user;
                        for (known, by) in known.scores.iter_mut().zip(by.scores) {
                            join(known, by, SUM.scores);
                        }
                    });
                }
            });
        }
    }

    /// Adds to one figure.
    pub fn add_figure(&mut self, figure: Figure<'_>) {
        self.join(figure, SUM);
    }

    /// Raises one figure where it is less.
    pub fn raise_figure(&mut self, figure: Figure<'_>) {
        self.join(figure, LARGEST);
    }

    /// Raises each figure to that of `other` where that is more.
    pub fn raise(&mut self, other: &Self) {
        other.figures().for_each(|figure| self.raise_figure(figure));
    }

    fn join(&mut self, figure: Figure<'_>, joining: Joining) {
        match figure {
            Figure::Count { namespace, counter, value } => change(&mut self.namespaces, namespace, |known| {
                if let Some(known) = known.counts.get_mut(counter as usize) {
                    join(known, Some(value), joining.counts);
                }
            }),
            Figure::Score { namespace, board, member, value } => {
                self.change_member(namespace, member, |known| {
                    if let Some(known) = known.scores.get_mut(board as usize) {
                        join(known, Some(value), joining.scores);
                    }
                });
            }
            Figure::User { namespace, user } => {
                self.change_member(namespace, user, |known| known.is_user = true);
            }
        }
    }

    fn change_member(&mut self, namespace: &str, member: &str, how: impl FnOnce(&mut Member)) {
        change(&mut self.namespaces, namespace, |namespace| change(&mut namespace.members, member, how));
    }

    /// All figures: of each namespace its counters, then its members.
    pub fn figures(&self) -> impl Iterator<Item = Figure<'_>> {
        self.namespaces.iter().flat_map(|(name, namespace)| {
            let members = namespace.members.iter().flat_map(|(member, known)| known.figures(name, member));
            namespace.figures(name).chain(members)
        })
    }

    /// The names of all namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.keys().map(String::as_str)
    }

    /// The members of a namespace.
    pub fn members(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.namespaces.get(namespace).into_iter().flat_map(|known| known.members.keys().map(String::as_str))
    }

    /// The counters of a namespace.
    #[must_use]
    pub fn counts(&self, namespace: &str) -> Counts {
        self.namespaces.get(namespace).map(|known| known.counts).unwrap_or_default()
    }

    /// A member of a namespace.
    #[must_use]
    pub fn member(&self, namespace: &str, name: &str) -> Member {
        let known = self.namespaces.get(namespace).and_then(|known| known.members.get(name));
        known.copied().unwrap_or_default()
    }

    /// Sets the counters of a namespace.
    pub fn set_counts(&mut self, namespace: &str, counts: Counts) {
        change(&mut self.namespaces, namespace, |known| known.counts = counts);
    }

    /// Sets a member of a namespace.
    pub fn set_member(&mut self, namespace: &str, name: &str, member: Member) {
        self.change_member(namespace, name, |known| *known = member);
    }

    /// One counter; 0 if nothing counted.
    #[must_use]
    pub fn counter(&self, namespace: &str, counter: Counter) -> i64 {
        self.namespaces.get(namespace).and_then(|known| *known.counts.get(counter as usize)?).unwrap_or(0)
    }
}

impl Namespace {
    fn figures<'a>(&self, namespace: &'a str) -> impl Iterator<Item = Figure<'a>> + use<'a> {
        let counters = Counter::ALL.into_iter().zip(self.counts);
        counters.filter_map(move |(counter, value)| Some(Figure::Count { namespace, counter, value: value? }))
    }
}

impl Member {
    fn figures<'a>(&self, namespace: &'a str, member: &'a str) -> impl Iterator<Item = Figure<'a>> + use<'a> {
        let boards = Board::ALL.into_iter().zip(self.scores);
        let scores = boards.filter_map(move |(board, value)| {
            Some(Figure::Score { namespace, board, member, value: value? })
        });
        scores.chain(self.is_user.then_some(Figure::User { namespace, user: member }))
    }
}

/// Changes what is known under a name, by one look for it if it is known.
fn change<V: Default>(known: &mut BTreeMap<String, V>, name: &str, how: impl FnOnce(&mut V)) {
    if let Some(value) = known.get_mut(name) {
        how(value);
    } else {
        how(known.entry(name.to_owned()).or_default());
    }
}

fn join<T: Copy>(known: &mut Option<T>, other: Option<T>, how: impl FnOnce(T, T) -> T) {
    if let Some(other) = other {
        *known = Some(known.map_or(other, |known| how(known, other)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORE: Figure<'_> =
        Figure::Score { namespace: "ATLAS", board: Board::UserEvents, member: "pythia8", value: 2.0 };

    fn totals(figures: &[Figure<'_>]) -> Totals {
        let mut totals = Totals::default();
        for figure in figures {
            totals.add_figure(*figure);
        }
        totals
    }

    #[test]
    fn a_user_may_be_called_as_a_generator() {
        let (namespace, name) = ("ATLAS", "pythia8");
        let of_generator =
            Figure::Score { namespace, board: Board::GeneratorEvents, member: name, value: 5.0 };
        let user = Figure::User { namespace, user: name };
        let totals = totals(&[of_generator, SCORE, user, user]);
        assert_eq!(totals.figures().collect::<Vec<_>>(), [SCORE, of_generator, user]);
        let member = totals.member(namespace, name);
        assert!(member.is_user && member.scores.iter().flatten().count() == 2, "{member:?}");
        assert_eq!(totals.members(namespace).collect::<Vec<_>>(), [name]);
    }

    #[test]
    fn figures_are_added_or_raised() {
        let count = |value| Figure::Count { namespace: "ATLAS", counter: Counter::Events, value };
        let mut known = totals(&[count(i64::MAX - 1), count(7), SCORE, SCORE]);
        assert_eq!(known.counter("ATLAS", Counter::Events), i64::MAX);
        let added = known.clone();
        known.raise(&totals(&[count(3), SCORE]));
        assert_eq!(known, added);
        let namespace = "CMS";
        known.raise(&totals(&[Figure::Count { namespace, counter: Counter::Files, value: 0 }]));
        assert_eq!(known.counts(namespace).iter().flatten().count(), 1, "a counter of 0 is one");
        let mut raised = totals(&[SCORE]);
        raised.raise(&added);
        assert_eq!(raised, added);
    }
}
