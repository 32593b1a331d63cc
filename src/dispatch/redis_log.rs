//! Has Redis write its append-only file anew once after each of its starts, before anything is added to it.
//!
//! Redis logs a script's changes as one transaction. A crash may cut the log within it; at its next start Redis leaves
//! the cut transaction out, but up to 7.0 at least it leaves its beginning in the log, where the next transaction is
//! appended to it. The start after that one then applies the beginning too: part of a batch is counted twice. (Valkey
//! mended this in 2026, pull request 4342.) A log that is written anew holds no such rest. No batch may be appended
//! before that; so it happens on connecting, and a key remembers for which run of the server it was done.
//!
//! The trial of what is allowed comes before it, and ends the transaction in the log. It has to: Redis does not start
//! with an unended one in a log that is not the last, which it is from the beginning of the writing anew on. Killed in
//! between, Redis applies the beginning of the batch, and the cursor says so ([`Cursor::Torn`]).
//!
//! [`Cursor::Torn`]: super::figures::Cursor

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, cmd};
use tokio::time::sleep;

/// How often it is asked whether the log is written.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// What was done about the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// There is no log, or it was written anew in this run of the server already.
    Needless,
    /// It was written anew.
    Done,
    /// Redis could not write it.
    Failed,
}

/// Has the log written anew unless the key `marker` says that this run of the server has done so; waits for its end.
pub(crate) async fn renew(
    connection: &mut MultiplexedConnection,
    marker: &str,
) -> Result<Renewal, RedisError> {
    let info: String = cmd("INFO").query_async(connection).await?;
    let Some(run) = field(&info, "run_id").filter(|_| field(&info, "aof_enabled") == Some("1")) else {
        return Ok(Renewal::Needless);
    };
    let done: Option<String> = cmd("GET").arg(marker).query_async(connection).await?;
    if done.as_deref() == Some(run) {
        return Ok(Renewal::Needless);
    }
    // One that is under way may have begun before the server took its first command, or not: it does not count.
    settled(connection).await?;
    cmd("BGREWRITEAOF").query_async::<()>(connection).await?;
    if field(&settled(connection).await?, "aof_last_bgrewrite_status") != Some("ok") {
        return Ok(Renewal::Failed);
    }
    cmd("SET").arg(marker).arg(run).query_async::<()>(connection).await?;
    Ok(Renewal::Done)
}

/// Waits until no log is being written anew; gives what Redis says of its persistence then.
async fn settled(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    loop {
        let info: String = cmd("INFO").arg("persistence").query_async(connection).await?;
        let busy = |name| field(&info, name) == Some("1");
        if !busy("aof_rewrite_in_progress") && !busy("aof_rewrite_scheduled") {
            return Ok(info);
        }
        sleep(ASK_EVERY).await;
    }
}

/// The value of `name` in what `INFO` gives.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whole_names() {
        let info = "# Server\r\nrun_id:abc\r\nrun_id_2:def\r\naof_enabled:1\r\n";
        assert_eq!(field(info, "run_id"), Some("abc"));
        assert_eq!(field(info, "aof_enabled"), Some("1"));
        assert_eq!(field(info, "aof"), None);
    }
}
