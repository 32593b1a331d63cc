//! A row of the database as a damaged disk may hand it over: the key's length, the key, the value. A handover that can be
//! read at all is also spelled and counted, as the couriers would do with it.

use nfs_scout::model::{Gain, JobFigures, Totals};
use nfs_scout::store::read_row;

pub(crate) fn check(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(*length).min(rest.len()));
    let Ok(Some(mut handover)) = read_row(key, value) else { return };
    handover.figures = handover.figures.take().or_else(|| handover.jobdata().as_ref().map(JobFigures::of));
    super::names::check_message(&handover);
    Totals::default().add(&Gain::of(&handover));
}
