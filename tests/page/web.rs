//! The HTTP side: who is answered, with what, and what is refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::scout::{Scout, finish};
use crate::support::{HANG, eventually};
use crate::{job, serving};

/// An answer: status, headers in lower case, body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// Sends these lines and reads to the end.
pub(crate) fn send(port: u16, request: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Answer { status, headers: head.to_lowercase(), body: body.to_owned() }
}

pub(crate) fn get(port: u16, path: &str) -> Answer {
    send(port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"))
}

#[test]
fn only_who_asks_for_us_and_only_to_read_is_answered() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    let (agent, port) = serving(&scout, &[]);
    scout.await_events(1);
    let asked = |method: &str, host: &str| send(port, &format!("{method} / HTTP/1.1\r\n{host}\r\n")).status;
    assert_eq!(asked("GET", &format!("Host: localhost:{port}\r\n")), 200);
    assert_eq!(asked("HEAD", "Host: [::1]\r\n"), 200);
    assert_eq!(asked("GET", "Host: evil.example\r\n"), 421, "DNS rebinding");
    assert_eq!(asked("GET", &format!("Host: evil.example:{port}\r\n")), 421);
    assert_eq!(asked("GET", ""), 421, "no Host at all");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(asked(method, "Host: localhost\r\n"), 405, "{method}");
    }
    assert_eq!(get(port, "/nothing").status, 404);
    assert_eq!(get(port, "/../etc/passwd").status, 404);
    assert_eq!(
        get(port, &format!("/explain?path={}", "x".repeat(40_000))).status,
        431,
        "questions are bounded"
    );

    for path in ["/", "/page.css", "/page.js", "/metrics", "/explain?path=a"] {
        let Answer { status, headers, .. } = get(port, path);
        assert_eq!(status, 200, "{path}");
        assert!(
            headers.contains("\ncontent-security-policy: default-src 'none'; script-src 'self'"),
            "{headers}"
        );
        assert!(!headers.contains("unsafe"), "{headers}");
        assert!(!headers.contains("access-control-allow"), "no other site may read this: {headers}");
        for header in ["x-content-type-options: nosniff", "x-frame-options: deny", "cache-control: no-store"]
        {
            assert!(headers.contains(header), "{path} lacks {header}: {headers}");
        }
    }
    agent.stop();
}

/// The messages of a connection that keeps a page up to date.
struct News {
    stream: TcpStream,
    text: String,
}

impl News {
    #[track_caller]
    fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        write!(stream, "GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut news = Self { stream, text: String::new() };
        let head = news.upto("\r\n\r\n");
        assert!(head.contains(" 200 ") && head.contains("content-type: text/event-stream"), "{head}");
        news
    }

    /// Its text until the end of `mark`.
    #[track_caller]
    fn upto(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = self.text.find(mark) {
                let rest = self.text.split_off(at + mark.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let mut part = [0; 4096];
            let read = self.stream.read(&mut part).unwrap();
            assert!(read > 0, "it ended: {}", self.text);
            self.text.push_str(str::from_utf8(&part[..read]).unwrap());
        }
    }

    /// The next event's name and data.
    #[track_caller]
    fn next(&mut self) -> (String, serde_json::Value) {
        let event = self.upto("\n\n");
        let (name, data) = event.trim_end().split_once("\ndata: ").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    }
}

#[test]
fn a_page_is_kept_up_to_date_and_pages_leave_room_for_scrapes() {
    let scout = Scout::new();
    let (agent, port) = serving(&scout, &[]);
    let mut news = News::open(port);
    let mut told = Vec::new();
    for name in ["history", "points", "points"] {
        assert_eq!(news.next().0, format!("event: {name}"));
        let (name, report) = news.next();
        assert_eq!(name, "event: report");
        told.push(report["at_seconds"].as_f64().unwrap());
    }
    assert!(told[0] < told[1] && told[1] < told[2], "each is taken anew: {told:?}");

    let mut pages: Vec<News> = (1..32).map(|_| News::open(port)).collect();
    let one_more = get(port, "/events");
    assert_eq!((one_more.status, one_more.body.as_str()), (503, "Too many pages are open.\n"));
    assert_eq!(get(port, "/metrics").status, 200);
    pages.pop();
    // When it is noticed, at its next message.
    eventually("room for a page", || {
        (send(port, "HEAD /events HTTP/1.0\r\nHost: localhost\r\n\r\n").status == 200).then_some(())
    });
    agent.stop();
}

#[test]
fn explain_takes_whole_paths_and_those_below_a_root() {
    let scout = Scout::new();
    scout.put("a/1 %.tgz", &job(1));
    let (agent, port) = serving(&scout, &[]);
    scout.await_events(1);
    let explained = |path: &str| {
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("path", path).finish();
        let answer = get(port, &format!("/explain?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(explained("a/1 %.tgz"), "handed over");
    assert_eq!(explained(scout.path("a/1 %.tgz").to_str().unwrap()), "handed over");
    assert_eq!(explained("a/2.tgz"), "not on record");
    assert_eq!(explained("/etc/passwd"), "not below any directory that this agent watches or watched");
    assert_eq!(get(port, "/explain").status, 400);
    agent.stop();
}

#[test]
fn what_cannot_be_listened_on_is_a_usage_error() {
    let scout = Scout::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = |flags: &[&str], part: &str| {
        let done = finish(&mut scout.run(flags));
        assert_eq!(done.code, Some(2), "{flags:?}: {}", done.stderr);
        assert!(done.stderr.contains(part), "{flags:?}: {}", done.stderr);
    };
    refused(&["--listen", &port], "cannot listen on 127.0.0.1");
    refused(&["--listen", "192.0.2.1:9477"], "cannot listen on 192.0.2.1:9477");
    refused(&["--listen", "http://localhost:9477"], "write a port like 9477");
    refused(&["--listen", "9477", "--once"], "a one-shot run is over before anybody asks");
    refused(&["--textfile", "x.prom"], "has no effect without --once");
    refused(&["--once", "--textfile", "root/x.prom"], "would watch itself");
}

#[test]
fn others_are_let_in_only_when_told_and_that_is_said() {
    let scout = Scout::new();
    let agent = scout.agent(&["--listen", "0.0.0.0:0"]);
    agent.logged("Whoever reaches 0.0.0.0:0 can read the names of files there; there is no password.");
    agent.logged("address=0.0.0.0:");
    agent.stop();
}
