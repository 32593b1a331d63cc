//! Real Redis and RabbitMQ servers on free loopback ports, with their data in a temporary folder.
//!
//! Each server has a small guard process that holds the other end of a pipe: when the test process ends, however it
//! ends, the guard stops the server by its pid and removes its folder.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::eventually;

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts `command`; a missing program names the package that has it.
#[track_caller]
fn spawn(command: &mut Command, package: &str) -> Child {
    match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("{} is missing: apt-get install {package}", command.get_program().display())
        }
        Err(error) => panic!("cannot start {command:?}: {error}"),
    }
}

/// Runs `command` to its end and gives its output.
#[track_caller]
fn run(command: &mut Command, package: &str) -> String {
    let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()), package);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A process, ended by its pid.
struct Process {
    child: Child,
    guard: Child,
}

impl Process {
    #[track_caller]
    fn start(command: &mut Command, log: &Path, package: &str) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = spawn(command, package);
        let mut guard = Command::new("sh");
        guard.args(["-c", "read _; kill -KILL $0", &child.id().to_string()]);
        let guard = spawn(guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()), "dash");
        Self { child, guard }
    }

    fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn signal(&self, name: &str) {
        run(Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]), "procps");
    }

    fn end(mut self, signal: &str) {
        if self.alive() {
            self.signal(signal);
        }
        self.child.wait().unwrap();
        self.guard.kill().unwrap();
        self.guard.wait().unwrap();
    }
}

/// A folder that is removed with the value, or by a guard when the test process ends without dropping it.
struct Folder {
    path: PathBuf,
    guard: Child,
}

impl Folder {
    fn new() -> Self {
        let path = tempfile::tempdir().unwrap().keep();
        let mut guard = Command::new("sh");
        guard.args(["-c", "read _; for i in 1 2 3 4 5; do sleep 1; rm -rf \"$0\" && break; done"]).arg(&path);
        let guard = spawn(guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()), "dash");
        Self { path, guard }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A certificate authority and a server certificate for 127.0.0.1 and localhost, made now.
pub struct Certificates {
    folder: Folder,
}

impl Certificates {
    pub fn make() -> Self {
        let folder = Folder::new();
        let openssl = |arguments: &str| {
            let words = arguments.split_whitespace();
            run(Command::new("openssl").args(words).current_dir(&folder.path), "openssl");
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
        openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"));
        let names = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n";
        std::fs::write(folder.file("names"), names).unwrap();
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 \
             -extfile names",
        );
        Self { folder }
    }

    pub fn authority(&self) -> PathBuf {
        self.folder.file("ca.pem")
    }

    fn certificate(&self) -> PathBuf {
        self.folder.file("server.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.file("server.key")
    }
}

/// A Redis server with an append-only file.
pub struct RedisServer {
    folder: Folder,
    port: u16,
    certificates: Option<Certificates>,
    extra: Vec<String>,
    process: Option<Process>,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::with(None, &[])
    }

    pub fn start_with(extra: &[&str]) -> Self {
        Self::with(None, extra)
    }

    /// Speaks TLS only.
    pub fn start_tls() -> Self {
        Self::with(Some(Certificates::make()), &[])
    }

    fn with(certificates: Option<Certificates>, extra: &[&str]) -> Self {
        let extra = extra.iter().map(ToString::to_string).collect();
        let mut server =
            Self { folder: Folder::new(), port: free_port(), certificates, extra, process: None };
        server.restart();
        server
    }

    pub fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}/", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn authority(&self) -> Option<PathBuf> {
        self.certificates.as_ref().map(Certificates::authority)
    }

    /// Starts it again, with its data, on the same port.
    pub fn restart(&mut self) {
        self.stop();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        command.arg("--dir").arg(&self.folder.path).args(&self.extra);
        let port = self.port.to_string();
        match &self.certificates {
            None => command.args(["--port", &port]),
            Some(certificates) => command
                .args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file"])
                .arg(certificates.certificate())
                .arg("--tls-key-file")
                .arg(certificates.key()),
        };
        let mut process = Process::start(&mut command, &self.folder.file("log"), "redis-server");
        wait_for_port(self.port, &mut process, &self.folder.file("log"));
        self.process = Some(process);
    }

    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end("TERM");
        }
    }

    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.end("KILL");
        }
    }

    /// Stops answering without closing anything, until [`RedisServer::resume`].
    pub fn pause(&self) {
        self.process.as_ref().unwrap().signal("STOP");
    }

    pub fn resume(&self) {
        self.process.as_ref().unwrap().signal("CONT");
    }

    /// The part of the append-only file that is written to, which is absent before the first start is through.
    fn log_in_use(&self) -> Option<PathBuf> {
        let parts = std::fs::read_dir(self.folder.file("appendonlydir")).ok()?;
        let parts = parts.map(|part| part.unwrap().path());
        let logs = parts.filter(|part| part.to_string_lossy().ends_with(".incr.aof"));
        logs.max_by_key(|log| std::fs::metadata(log).unwrap().modified().unwrap())
    }

    /// The size of that file.
    pub fn log_bytes(&self) -> u64 {
        self.log_in_use().map_or(0, |path| std::fs::metadata(path).unwrap().len())
    }

    /// Cuts that file within the last of its changes of a count, as a power loss may.
    pub fn cut_log_within_a_batch(&self) {
        let log = std::fs::read(self.log_in_use().unwrap()).unwrap();
        let change = log.windows(7).rposition(|word| word == b"HINCRBY").unwrap();
        self.cut_log((log.len() - change - 10) as u64);
    }

    /// Loses the last `bytes` of that file, as a power loss would; only while the server is stopped.
    pub fn cut_log(&self, bytes: u64) {
        assert!(self.process.is_none(), "stop the server first");
        let Some(path) = self.log_in_use() else { return };
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len().saturating_sub(bytes)).unwrap();
    }

    /// Keeps a copy of the data, for [`RedisServer::roll_back`]; restarts.
    pub fn keep_copy(&mut self) {
        self.stop();
        self.copy("appendonlydir", "copy");
        self.restart();
    }

    /// Puts the copy in place of the data; restarts.
    pub fn roll_back(&mut self) {
        self.stop();
        self.copy("copy", "appendonlydir");
        self.restart();
    }

    fn copy(&self, from: &str, to: &str) {
        let _ = std::fs::remove_dir_all(self.folder.file(to));
        run(Command::new("cp").arg("-a").arg(self.folder.file(from)).arg(self.folder.file(to)), "coreutils");
    }

    /// Removes the data; only while it is stopped.
    pub fn wipe(&self) {
        assert!(self.process.is_none(), "stop the server first");
        let _ = std::fs::remove_dir_all(self.folder.file("appendonlydir"));
    }

    /// A blocking connection for looking inside.
    pub fn connect(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).unwrap();
        eventually("a Redis that is not loading", || {
            let mut connection = client.get_connection().ok()?;
            redis::cmd("PING").query::<String>(&mut connection).ok()?;
            Some(connection)
        })
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A RabbitMQ node with a port mapper of its own, so that several run side by side.
pub struct RabbitServer {
    folder: Folder,
    port: u16,
    tls_port: u16,
    dist_port: u16,
    epmd_port: u16,
    certificates: Certificates,
    process: Option<Process>,
    epmd: Option<Process>,
}

/// The programs of the server package; those in the path switch to another user.
const RABBIT: &str = "/usr/lib/rabbitmq/bin";

impl RabbitServer {
    /// Starts one whose messages may have 64 KiB.
    pub fn start() -> Self {
        let mut server = Self {
            folder: Folder::new(),
            port: free_port(),
            tls_port: free_port(),
            dist_port: free_port(),
            epmd_port: free_port(),
            certificates: Certificates::make(),
            process: None,
            epmd: None,
        };
        server.configure();
        server.restart();
        server
    }

    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    pub fn tls_url(&self) -> String {
        format!("amqps://guest:guest@127.0.0.1:{}", self.tls_port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn authority(&self) -> PathBuf {
        self.certificates.authority()
    }

    fn configure(&self) {
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             listeners.ssl.1 = 127.0.0.1:{}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             ssl_options.verify = verify_none\n\
             max_message_size = 65536\n\
             vm_memory_high_watermark.absolute = 2GB\n\
             disk_free_limit.absolute = 1MB\n\
             log.file = false\n\
             log.console = true\n\
             log.console.level = warning\n",
            self.port,
            self.tls_port,
            self.certificates.authority().display(),
            self.certificates.certificate().display(),
            self.certificates.key().display(),
        );
        std::fs::write(self.folder.file("rabbitmq.conf"), config).unwrap();
        std::fs::write(self.folder.file("plugins"), "[].").unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(format!("{RABBIT}/{program}"));
        command
            .current_dir(&self.folder.path)
            .env("HOME", &self.folder.path)
            .env("RABBITMQ_NODENAME", format!("test{}@localhost", self.port))
            .env("RABBITMQ_BASE", &self.folder.path)
            .env("RABBITMQ_MNESIA_BASE", self.folder.file("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.folder.file("logs"))
            .env("RABBITMQ_PID_FILE", self.folder.file("pid"))
            .env("RABBITMQ_CONFIG_FILE", self.folder.file("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.folder.file("plugins"))
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none")
            // Makes the script replace itself by the server, whose pid is then ours to stop.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command
    }

    /// Starts it again, with its data, on the same ports.
    pub fn restart(&mut self) {
        self.stop();
        if self.epmd.is_none() {
            let mut epmd = Command::new("epmd");
            epmd.args(["-address", "127.0.0.1", "-port", &self.epmd_port.to_string()]);
            let mut epmd = Process::start(&mut epmd, &self.folder.file("epmd.log"), "erlang-base");
            wait_for_port(self.epmd_port, &mut epmd, &self.folder.file("epmd.log"));
            self.epmd = Some(epmd);
        }
        let log = self.folder.file("log");
        let mut process = Process::start(&mut self.command("rabbitmq-server"), &log, "rabbitmq-server");
        wait_for_port(self.port, &mut process, &log);
        wait_for_port(self.tls_port, &mut process, &log);
        self.process = Some(process);
    }

    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end("TERM");
        }
    }

    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.end("KILL");
        }
    }

    /// Runs `rabbitmqctl`.
    #[track_caller]
    pub fn control(&self, arguments: &[&str]) -> String {
        run(self.command("rabbitmqctl").arg("-q").args(arguments), "rabbitmq-server")
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        // Nothing in it is worth an orderly end.
        self.kill();
        if let Some(epmd) = self.epmd.take() {
            epmd.end("KILL");
        }
    }
}

#[track_caller]
fn wait_for_port(port: u16, process: &mut Process, log: &Path) {
    eventually("a server that listens", || {
        let text = || std::fs::read_to_string(log).unwrap_or_default();
        assert!(process.alive(), "the server ended: {}", text());
        let address = ([127, 0, 0, 1], port).into();
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok().map(drop)
    });
}
