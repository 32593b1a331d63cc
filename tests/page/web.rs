//! The HTTP side: who is answered, with what, and what is refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::HANG;
use crate::support::scout::{Scout, finish};
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
    assert_eq!(explained("a/2.tgz"), "never seen");
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
