//! Brings Redis and a rebuilt index together once, for `index recount`: reads all figures under the prefix, and raises them
//! to what the index has counted anew. What follows from the figures is the caller's business.

use redis::aio::MultiplexedConnection;
use redis::{RedisError, cmd};

use crate::dispatch::statistics::Statistics;
use crate::dispatch::{Mode, RedisSettings, SinkError, trust};
use crate::event::Reporter;
use crate::model::{Board, Counter, Figure, Seq, Totals};

/// Keys that one SCAN looks at, about.
const AT_ONCE: usize = 1000;

/// What lies under the prefix.
#[derive(Debug, Default)]
pub struct Figures {
    /// The agents that have counted there.
    pub agents: Vec<String>,
    /// What they and others have counted.
    pub totals: Totals,
}

/// Reads all figures; writes nothing.
pub async fn figures_in(settings: &RedisSettings) -> Result<Figures, SinkError> {
    trust::install_provider();
    let statistics = Statistics::new(settings.clone(), Mode::Once, Reporter::default());
    let mut connection = statistics.dial().await?;
    let reading = read_all(&mut connection, &settings.prefix);
    statistics.within(settings.timeout.saturating_mul(10), reading).await
}

/// Raises each figure to that of `totals` where that is more and sets the cursor of `agent`, in one step; then takes away
/// the cursors of `replaced`. Gives the cursor: at least `head`, and at least what was there.
pub async fn raise_figures(
    settings: &RedisSettings,
    agent: &str,
    (head, totals): (Seq, &Totals),
    replaced: &[String],
) -> Result<Seq, SinkError> {
    trust::install_provider();
    let mut statistics = Statistics::new(settings.clone(), Mode::Once, Reporter::default());
    let upto = statistics.raise(agent, head, totals).await?;
    let mut connection = statistics.dial().await?;
    for other in replaced {
        let key = format!("{}CURSOR/{other}", settings.prefix);
        let removing = async { cmd("DEL").arg(&key).query_async::<()>(&mut connection).await };
        statistics.within(settings.timeout, removing).await?;
    }
    Ok(upto)
}

async fn read_all(connection: &mut MultiplexedConnection, prefix: &str) -> Result<Figures, RedisError> {
    let (mut figures, mut at) = (Figures::default(), 0_u64);
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(at).arg("MATCH").arg(format!("{}*", literal(prefix))).arg("COUNT").arg(AT_ONCE);
        let (next, keys): (u64, Vec<String>) = scan.query_async(connection).await?;
        for key in keys {
            if let Some((namespace, rest)) = key.strip_prefix(prefix).and_then(|rest| rest.split_once('/')) {
                read_key(connection, &key, (namespace, rest), &mut figures).await?;
            }
        }
        if next == 0 {
            return Ok(figures);
        }
        at = next;
    }
}

/// Reads one key, which SCAN may show more than once.
async fn read_key(
    connection: &mut MultiplexedConnection,
    key: &str,
    (namespace, rest): (&str, &str),
    figures: &mut Figures,
) -> Result<(), RedisError> {
    let Figures { agents, totals } = figures;
    if namespace == "CURSOR" {
        if !rest.contains('/') && agents.iter().all(|agent| agent != rest) {
            agents.push(rest.to_owned());
        }
    } else if rest.is_empty() {
        let fields: Vec<(String, String)> = cmd("HGETALL").arg(key).query_async(connection).await?;
        for counter in Counter::ALL {
            let value = fields.iter().find(|(field, _)| field == counter.as_str());
            if let Some(value) = value.and_then(|(_, value)| value.parse().ok()) {
                totals.raise_figure(Figure::Count { namespace, counter, value });
            }
        }
    } else if rest == "USERS" {
        let users: Vec<String> = cmd("SMEMBERS").arg(key).query_async(connection).await?;
        for user in &users {
            totals.raise_figure(Figure::User { namespace, user });
        }
    } else if let Some(board) = Board::ALL.into_iter().find(|board| board.as_str() == rest) {
        let mut asking = cmd("ZRANGE");
        asking.arg(key).arg(0).arg(-1).arg("WITHSCORES");
        let scores: Vec<(String, f64)> = asking.query_async(connection).await?;
        for (member, value) in &scores {
            totals.raise_figure(Figure::Score { namespace, board, member, value: *value });
        }
    }
    Ok(())
}

/// The prefix as a pattern of SCAN.
fn literal(prefix: &str) -> String {
    prefix.chars().fold(String::new(), |mut pattern, letter| {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(literal("T4TC_MONITOR/"), "T4TC_MONITOR/");
        assert_eq!(literal("a*[b]?\\"), "a\\*\\[b\\]\\?\\\\");
    }
}
