//! The page in a real browser, and `status` beside it: whether they tell the truth in every state.

use std::fs;

use crate::browser::Browser;
use crate::support::eventually;
use crate::support::scout::Scout;
use crate::support::servers::RedisServer;
use crate::{job, serving};

/// Waits until the page and `status` both say `part` among what is wrong, in the same words.
#[track_caller]
fn both_say(browser: &mut Browser, scout: &Scout, part: &str) {
    browser.shows("problems", part);
    let status = eventually(&format!("status to say {part:?}"), || {
        Some(scout.tell(&["status"])).filter(|text| text.contains(part))
    });
    assert!(status.lines().any(|line| line.starts_with("! ") && line.contains(part)), "{status}");
}

#[track_caller]
fn all_is_well(browser: &mut Browser, scout: &Scout) {
    browser.shows("verdict", "All is well");
    assert_eq!(browser.text("problems"), "");
    let no_problem = || {
        let status = scout.ask(&["status"]);
        let problems = status["problems"].as_array().unwrap();
        problems.is_empty().then(|| scout.tell(&["status"]))
    };
    let text = eventually("status to say that all is well", no_problem);
    assert!(!text.lines().any(|line| line.starts_with('!')), "{text}");
}

/// Fails if the page asked anybody else for anything, or had an error.
#[track_caller]
fn behaved(browser: &mut Browser, port: u16) {
    assert_eq!(browser.wrongs, [""; 0]);
    let ours = [format!("http://127.0.0.1:{port}/"), "data:,".to_owned()];
    let outside: Vec<_> =
        browser.requests.iter().filter(|url| !ours.iter().any(|ours| url.starts_with(ours))).collect();
    assert!(outside.is_empty(), "{outside:?}");
    // It is kept up to date over the one connection that it opened, not by asking anew.
    assert_eq!(browser.requests.iter().filter(|url| url.ends_with("/events")).count(), 1);
}

#[test]
fn tells_the_truth_while_things_break_and_mend() {
    let scout = Scout::new();
    let mut redis = RedisServer::start();
    for directory in 0..40 {
        scout.put(format!("2026/{directory:02}/job-{directory}.tgz"), &job(directory));
    }
    scout.put("2026/00/cut.tgz", &job(100)[..40]);
    let (agent, port) = serving(&scout, &["--redis", &redis.url(), "--events", "--interval", "1s"]);
    let mut browser = Browser::start();
    browser.width(1280, false);
    browser.go(&format!("http://127.0.0.1:{port}/"));
    all_is_well(&mut browser, &scout);
    browser.shows("asof", "As of ");
    browser.shows("figures", "Handed over\n40");
    browser.shows("waiting", "2026/00/cut.tgz\ttruncated");
    browser.shows("map-says", "42 directories. None over the bound of 1 s.");
    assert_eq!(browser.eval("document.querySelectorAll('#map button').length"), 42);
    assert_eq!(browser.eval(LATE), 0);
    assert_eq!(browser.eval("document.getElementById('verdict').className"), "");

    // A file comes: its name is markup, and is shown as text.
    scout.put("2026/07/<img src=x onerror=alert(1)>.tgz", &job(41));
    browser.shows("latest", "2026/07/<img src=x onerror=alert(1)>.tgz\tappeared");
    browser.shows("figures", "Handed over\n41");
    browser.shows("figures", "Found within");
    assert_eq!(browser.eval("document.images.length"), 0);
    assert_eq!(scout.ask(&["status"])["latest"][0]["path"], "2026/07/<img src=x onerror=alert(1)>.tgz");
    browser.shows("latency-says", "1 file in the time shown");
    assert_eq!(browser.eval("document.querySelectorAll('#latency circle').length"), 1);
    charted(&mut browser, &scout);
    browser.shoot("steady");

    sink_away(&mut browser, &scout, &mut redis);
    root_away(&mut browser, &scout);
    questions(&mut browser, &scout);
    narrow(&mut browser);
    behaved(&mut browser, port);

    // The agent ends: what is shown is what it said last, and that is said.
    agent.stop();
    browser.shows("problems", "The agent was last heard of");
    let status = scout.tell(&["status"]);
    assert!(status.contains("! No agent runs: this is the state as it was left."), "{status}");
    browser.shoot("stopped");
}

/// Squares that are told to be over the bound, by their look and by a full bar.
const LATE: &str = "[...document.querySelectorAll('#map .late')].filter((it) => it.style.getPropertyValue('--age') === '100%').length";

/// The line of the rate is the rate: it ends where the last figure puts it between none and the budget.
#[track_caller]
fn charted(browser: &mut Browser, scout: &Scout) {
    let says = browser.shows("rate-says", " now. Dashed: ");
    let number = |after: &str| -> f64 {
        let (_, rest) = says.split_once(after).unwrap();
        rest.split(' ').next().unwrap().replace(',', "").parse().unwrap()
    };
    let (looks, allowed) = (number("no RPCs): "), number("Dashed: "));
    let pace = &scout.ask(&["status"])["pace"];
    assert!((allowed - pace["budget"].as_f64().unwrap()).abs() < 0.05, "{says} {pace}");
    // The height of the end of a line over the chart's floor.
    let mut end = |line: &str| {
        let floor =
            "Math.max(...[...document.querySelectorAll('#rate .grid')].map((it) => +it.getAttribute('y1')))";
        let path = format!("document.querySelector('#rate .{line}').getAttribute('d')");
        browser.eval(&format!("{floor} - {path}.split(' ').at(-1)")).as_f64().unwrap()
    };
    let (line, limit) = (end("line"), end("limit"));
    assert!(limit > 20.0 && (line / limit - looks / allowed).abs() < 0.05, "{line} {limit} px: {says}");
}

fn sink_away(browser: &mut Browser, scout: &Scout, redis: &mut RedisServer) {
    redis.stop();
    both_say(browser, scout, "The sink redis is away");
    scout.put("2026/08/late.tgz", &job(42));
    both_say(browser, scout, "1 file waits for it, the oldest for");
    let sinks = browser.shows("sinks", "redis\tdown\t41\t1\t");
    browser.shows("figures", "Unsent\n1");
    assert_eq!(browser.eval("document.querySelector('#sinks .bad').textContent"), "down");
    assert_eq!(browser.eval("document.getElementById('verdict').className"), "bad");
    assert!(sinks.contains("events\tup\t42\t0\t"), "{sinks}");
    browser.shoot("redis-down");
    redis.restart();
    all_is_well(browser, scout);
    browser.shows("sinks", "redis\tup\t42\t0\t");
}

fn root_away(browser: &mut Browser, scout: &Scout) {
    fs::rename(scout.root(), scout.beside("away")).unwrap();
    let root = scout.root().display().to_string();
    both_say(browser, scout, &format!("{root} is not watched: "));
    browser.shows("roots", "lost: ");
    // What is over the bound by now is said: nothing pretends to be looked at.
    browser.shows("map-says", "42 over the bound of 1 s.");
    assert_eq!(browser.eval(LATE), 42);
    browser.shoot("root-gone");
    fs::rename(scout.beside("away"), scout.root()).unwrap();
    all_is_well(browser, scout);
}

/// By keyboard alone: into the map, along it, and from a square to its explanation; then the field.
fn questions(browser: &mut Browser, scout: &Scout) {
    // From the field over its button into the map, of which one square takes part in the order of Tab.
    browser.eval("document.getElementById('find').focus()");
    browser.press("Tab");
    browser.press("Tab");
    let root = scout.root().display().to_string();
    browser.shows("map-detail", &format!("{root}: "));
    browser.press("End");
    browser.shows("map-detail", &format!("{root}/2026/39: "));
    browser.press("ArrowLeft");
    browser.shows("map-detail", &format!("{root}/2026/38: "));
    browser.press("Enter");
    browser.shows("answer", &format!("{root}/2026/38: a directory"));
    // A row up and down again, as they lie.
    let place = "(({top, left}) => `${Math.round(left)} ${Math.round(top)}`)(document.activeElement.getBoundingClientRect())";
    browser.width(400, false);
    let before = browser.eval(place);
    browser.press("ArrowUp");
    let above = browser.eval(place);
    let part = |place: &serde_json::Value, n| place.as_str().unwrap().split(' ').nth(n).unwrap().to_owned();
    assert_eq!(part(&above, 0), part(&before, 0), "{above} is above {before}");
    assert_ne!(part(&above, 1), part(&before, 1));
    browser.press("ArrowDown");
    browser.shows("map-detail", &format!("{root}/2026/38: "));
    browser.width(1280, false);

    // Whatever is in a name is asked for as it is.
    for (name, state) in
        [("2026/08/late.tgz", "handed over"), ("2026/08/100% a&b=c+d#e?.tgz", "not on record")]
    {
        let field = "document.getElementById('find')";
        browser.eval(&format!("{field}.focus(); {field}.value = {name:?}"));
        browser.press("Enter");
        let answer = browser.shows("answer", &format!("{root}/{name}: {state}"));
        assert!(state != "handed over" || answer.contains("to redis\nconfirmed"), "{answer}");
    }
    browser.shoot("explained");
    // Nothing that takes focus is without a name.
    let unnamed = "[...document.querySelectorAll('a,button,input,[tabindex=\"0\"]')].filter((it) => \
         !(it.textContent.trim() || it.getAttribute('aria-label') || it.labels?.length || it.getAttribute('aria-labelledby'))).length";
    assert_eq!(browser.eval(unnamed), 0);
}

/// At 400 pixels nothing is wider than the window, but for tables, which scroll by themselves.
fn narrow(browser: &mut Browser) {
    for is_dark in [false, true] {
        browser.width(400, is_dark);
        let wide = browser.eval("document.documentElement.scrollWidth");
        assert!(wide.as_u64().unwrap() <= 400, "{wide} pixels");
        let paper = browser.eval("getComputedStyle(document.documentElement).backgroundColor");
        assert_eq!(paper, if is_dark { "rgb(20, 24, 26)" } else { "rgb(251, 251, 249)" });
    }
    browser.width(1280, false);
}

#[test]
fn tells_of_the_first_walk_and_of_a_budget_that_is_too_small() {
    let scout = Scout::new();
    for directory in 0..60 {
        scout.put(format!("{directory:02}/job.tgz"), &job(directory));
    }
    let (agent, port) = serving(&scout, &["--interval", "1s", "--budget", "4/s"]);
    let mut browser = Browser::start();
    browser.go(&format!("http://127.0.0.1:{port}/"));
    let root = scout.root().display().to_string();
    both_say(&mut browser, &scout, &format!("The first walk of {root} is under way: "));
    browser.shows("figures", "not seen yet");
    let status = scout.ask(&["status"]);
    assert_eq!(status["roots"][0]["walked"], false);
    assert!(status["roots"][0]["unseen"].as_u64().unwrap() > 0, "{status}");
    browser.shoot("first-walk");

    both_say(&mut browser, &scout, "The budget is too small for the interval: every 1 s is promised, every ");
    let pace = &scout.ask(&["status"])["pace"];
    assert_eq!((&pace["promised_s"], &pace["budget"]), (&1.0.into(), &4.0.into()));
    assert!(pace["kept_s"].as_f64().unwrap() >= 15.0, "61 directories at 4 a second: {pace}");
    assert!(pace["needed"].as_f64().unwrap() >= 61.0, "{pace}");
    browser.shows("figures", "1 s promised");
    let finished = || (scout.ask(&["status"])["roots"][0]["walked"] == true).then_some(());
    eventually("the end of the first walk", finished);
    let gone = eventually("the walk to be told no more", || {
        Some(browser.text("problems")).filter(|text| !text.contains("first walk"))
    });
    assert!(gone.contains("The budget is too small"), "{gone}");
    browser.shoot("budget");
    behaved(&mut browser, port);
    agent.stop();
}
