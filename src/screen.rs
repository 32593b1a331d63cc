//! `status --watch`: a text on the terminal, drawn anew every two seconds until a key combination or a signal ends it.
//!
//! Plain control sequences that every terminal knows; what was on the terminal before is there again afterwards.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// How often it is drawn.
const EVERY: Duration = Duration::from_secs(2);

/// Another screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The size assumed of a terminal that does not tell.
const USUAL: (usize, usize) = (80, 24);

/// Draws what `text` gives, anew and anew; ends well at Ctrl-C, SIGTERM, SIGHUP, or when the terminal is gone.
pub(crate) fn follow(mut text: impl FnMut() -> String) -> io::Result<()> {
    if !io::stdout().is_terminal() {
        return Err(io::Error::other(
            "--watch needs a terminal: leave it away to print once, or ask for --json in a loop",
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let [interrupt, terminate, hangup] = &mut signals;
        let (interrupt, terminate, hangup) = (some(interrupt)?, some(terminate)?, some(hangup)?);
        let mut resized = signal(SignalKind::window_change())?;
        let mut ticks = tokio::time::interval(EVERY);
        put(ENTER)?;
        let mut drawn = Ok(());
        while drawn.is_ok() {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = hangup.recv() => break,
                _ = resized.recv() => {}
                _ = ticks.tick() => {}
            }
            drawn = put(&frame(&text(), size()));
        }
        put(LEAVE)?;
        drawn
    })
}

fn some<T>(signal: &mut io::Result<T>) -> io::Result<&mut T> {
    signal.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL,
    }
}

/// What makes a terminal of this size show as much of `text` as it holds: drawn over what is there, so that nothing flickers.
fn frame(text: &str, (columns, rows): (usize, usize)) -> String {
    let mut lines: Vec<&str> = text.trim_end().lines().collect();
    let more = lines.len().saturating_sub(rows);
    let left_out = format!("… {} more lines: make the window taller", more + 1);
    if more > 0 {
        lines.truncate(rows.saturating_sub(1));
        lines.push(&left_out);
    }
    let cut = lines.iter().map(|line| line.chars().take(columns).collect::<String>());
    // The cursor home; each line with its rest erased; what is below erased.
    format!("\x1b[H{}\x1b[K\x1b[J", cut.collect::<Vec<_>>().join("\x1b[K\r\n"))
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn a_frame_fits_the_terminal() {
        assert_eq!(frame("ab\nc\n\n", (80, 24)), "\x1b[Hab\x1b[K\r\nc\x1b[K\x1b[J");
        assert_eq!(frame("abc", (2, 24)), "\x1b[Hab\x1b[K\x1b[J");
        let tall = frame("1\n2\n3\n4", (80, 3));
        assert_eq!(tall, "\x1b[H1\x1b[K\r\n2\x1b[K\r\n… 2 more lines: make the window taller\x1b[K\x1b[J");
    }
}
