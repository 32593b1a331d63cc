//! A headless Chromium, told what to do by the `DevTools` protocol over two named pipes: no driver, no port.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{HANG, eventually};

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: Value,
    calls: u64,
    /// What the page did that it should not have: requests elsewhere, errors, refusals by the policy.
    pub(crate) wrongs: Vec<String>,
    /// The addresses that were asked for.
    pub(crate) requests: Vec<String>,
    _folder: TempDir,
}

impl Browser {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            path
        };
        let (to, from) = (pipe("to"), pipe("from"));
        let script = "exec chromium-headless-shell --remote-debugging-pipe --no-sandbox --disable-gpu \
             --disable-dev-shm-usage --no-first-run --user-data-dir=\"$0/profile\" 3<\"$0/to\" 4>\"$0/from\"";
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(folder.path()).env("HOME", folder.path());
        // A group of its own, so that the processes it starts end with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let to = open(&to, OpenOptions::new().read(true).write(true));
        // Opened for reading and writing: a missing browser would be waited for without end.
        let from = open(&from, OpenOptions::new().read(true).write(true));
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(from).split(0);
            while let Some(Ok(line)) = lines.next() {
                let Ok(message) = serde_json::from_slice(&line) else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        thread::sleep(std::time::Duration::from_millis(200));
        let missing = child.try_wait().unwrap();
        assert!(
            missing.is_none(),
            "chromium-headless-shell is missing or broken: apt-get install chromium-headless-shell"
        );
        let (wrongs, requests) = (Vec::new(), Vec::new());
        let mut browser = Self {
            child,
            to,
            from: receiver,
            session: Value::Null,
            calls: 0,
            wrongs,
            requests,
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        browser.session = browser.call("Target.attachToTarget", &attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Goes to an address; what is asked of any other site is a wrong.
    pub(crate) fn go(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
    }

    /// Calls a method and waits for its result.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.from.recv_timeout(HANG).unwrap_or_else(|_| panic!("no answer to {method}"));
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap().to_owned());
            }
            Some("Runtime.exceptionThrown") => self.wrongs.push(parameters["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled") => self.wrongs.push(parameters["args"].to_string()),
            Some("Log.entryAdded") => self.wrongs.push(parameters["entry"].to_string()),
            _ => {}
        }
    }

    /// The value of an expression.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", &parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// The text of the element with this id, as it is shown: nothing if it is not.
    #[track_caller]
    pub(crate) fn text(&mut self, id: &str) -> String {
        let text = self.eval(&format!(
            "((it) => it?.checkVisibility({{visibilityProperty: true}}) ? it.innerText : '')(document.getElementById({id:?}))"
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the text of an element holds `part`.
    #[track_caller]
    pub(crate) fn shows(&mut self, id: &str, part: &str) -> String {
        let mut last = String::new();
        let start = std::time::Instant::now();
        while start.elapsed() < HANG {
            last = self.text(id);
            if last.contains(part) {
                return last;
            }
            thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("#{id} never showed {part:?}, but {last:?}");
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        let (text, code) = match key {
            "Enter" => ("\r", 13),
            "Tab" => ("", 9),
            _ => ("", 0),
        };
        let event = |kind| json!({"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", &event("keyDown"));
        self.call("Input.dispatchKeyEvent", &json!({"type": "keyUp", "key": key, "code": key}));
    }

    pub(crate) fn width(&mut self, pixels: u32, is_dark: bool) {
        let metrics = json!({"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &features);
    }

    /// Leaves screenshots of the whole page in the folder that `PAGE_SHOTS` names, if it does.
    pub(crate) fn shoot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("PAGE_SHOTS") else { return };
        for (width, is_dark) in [(1280, false), (1280, true), (400, false), (400, true)] {
            self.width(width, is_dark);
            // Until the charts have followed.
            self.eval("new Promise((done) => setTimeout(done, 300))");
            let shot = self.call("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
            let shade = if is_dark { "dark" } else { "light" };
            std::fs::write(Path::new(&folder).join(format!("{name}-{width}-{shade}.png")), bytes).unwrap();
        }
        self.width(1280, false);
    }
}

fn open(path: &Path, options: &OpenOptions) -> File {
    eventually("the pipe", || options.open(path).ok())
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
