//! The page before a mount that hangs. A browser does not run in the guest kernel of `tests/nfs` and no mount hangs outside
//! of it, so a real page is told here what a real agent told there: `hung.sse`, recorded by
//! `tests/nfs/faults/told.rs`, which fails when an agent tells other things by now.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::browser::Browser;
use crate::serving;
use crate::support::scout::Scout;
use crate::web::send;

const RECORDED: &str = include_str!("hung.sse");

#[test]
fn a_hung_mount_is_told() {
    let scout = Scout::new();
    let (agent, port) = serving(&scout, &[]);
    let mut browser = Browser::start();
    browser.width(1280, false);
    browser.go(&format!("http://127.0.0.1:{}/", serve_recorded(port)));
    browser.shows("verdict", "1 thing to know");
    let report = RECORDED.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    let silent = report["roots"].as_array().unwrap().iter().find(|root| root["state"] == "silent").unwrap();
    let root = silent["path"].as_str().unwrap();
    browser.shows("problems", &format!("The file system at {root} does not answer: "));
    browser.shows("roots", "\tno answer for ");
    assert_eq!(browser.eval("document.querySelectorAll('#roots .bad').length"), 1);
    // Of the root that answers nothing is over the bound.
    let lines = report["directories"].as_array().unwrap();
    let hung = lines.iter().filter(|line| line["path"].as_str().unwrap().starts_with(root)).count();
    assert!(hung > 1 && hung < lines.len());
    browser.shows("map-says", &format!("{} directories. {hung} over the bound of 1 s.", lines.len()));
    assert_eq!(browser.eval("document.querySelectorAll('#map .late').length"), hung);
    assert_eq!(browser.eval("document.title"), "(1) nfs-scout");
    browser.shoot("mount-hung");
    assert_eq!(browser.wrongs, [""; 0]);
    agent.stop();
}

/// The page of the agent at `port`, which is told what was recorded; on a port of its own.
fn serve_recorded(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || answer(stream, port));
        }
    });
    ours
}

fn answer(mut stream: TcpStream, port: u16) {
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(read) if read > 0 => head.extend_from_slice(&bytes[..read]),
            // The browser thought better of it.
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    if path != "/events" {
        let real = send(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"));
        let (_, fields) = real.headers.split_once("\r\n").unwrap();
        let _ = write!(stream, "HTTP/1.0 {} \r\n{fields}\r\n\r\n{}", real.status, real.body);
        return;
    }
    let _ = write!(stream, "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
    // Until the browser ends.
    while stream.write_all(RECORDED.as_bytes()).is_ok() {
        thread::sleep(Duration::from_secs(1));
    }
}
