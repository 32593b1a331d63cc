//! Metrics and page over HTTP, on the address of `--listen`: a few answers to GET, which change nothing.
//!
//! The answers are those of the control socket, so they hold no content of a file and no secret, but names of files: who
//! may connect may read them. What a browser sends for another site is refused by its Host header ([`Names`]).

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::explain::explain;
use super::report::{Live, report};
use crate::clock::Stopwatch;
use crate::config::Listen;
use crate::model::Timestamp;
use crate::status::{Asset, CONTENT_SECURITY_POLICY, Explanation, METRICS_TYPE, asset, metrics};
use crate::store::{Store, StoreError};

/// Connections at a time; one more waits.
const CONNECTIONS: usize = 64;

/// Pages that are kept up to date at a time; one more is refused, so that there is always room for a scrape.
const PAGES: usize = 32;

/// How long a client may take to send its question.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may last; a page connects anew by itself.
const LONGEST: Duration = Duration::from_secs(600);

/// The most bytes of a question.
const MAX_QUESTION: usize = 16 * 1024;

/// How often a page is told what is new.
const NEWS_EVERY: Duration = Duration::from_secs(2);

/// How long a report is told to others who ask too.
const SHARED_FOR: Duration = Duration::from_secs(1);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An address that is listened on.
#[derive(Debug)]
pub(super) struct Web {
    listener: TcpListener,
    names: Names,
}

impl Web {
    /// Listens.
    pub(super) fn listen(at: &Listen) -> io::Result<Self> {
        let listener = TcpListener::bind((at.host.as_str(), at.port))?;
        listener.set_nonblocking(true)?;
        let node = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        Ok(Self { listener, names: Names([at.host.clone(), node]) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub(super) async fn serve(self, store: Arc<Store>, live: Live) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let answers = Arc::new(Answers {
            store,
            live,
            names: self.names,
            pages: Arc::new(Semaphore::new(PAGES)),
            shared: Mutex::new(None),
        });
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(converse(stream, Arc::clone(&answers), permit));
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Answers one question; the next one needs a connection of its own, so that nobody holds one for nothing.
async fn converse(stream: TcpStream, answers: Arc<Answers>, permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answers.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKED_WITHIN)
        .max_buf_size(MAX_QUESTION)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away or speaks something else is no event of ours.
    let _ = timeout(LONGEST, connection).await;
    drop(permit);
}

/// The names under which we are asked: that we listen on, and the machine's.
///
/// Against DNS rebinding: a site may have its own name lead to 127.0.0.1 and then read what is served here as its own. Its
/// requests carry its name. An address cannot be such a name, and `localhost` belongs to nobody.
#[derive(Debug)]
struct Names([String; 2]);

impl Names {
    /// Whether a request with this Host header is meant for us.
    fn are_meant_by(&self, host: &str) -> bool {
        let is_port = |port: &str| port.chars().all(|digit| digit.is_ascii_digit());
        let name = match host.rsplit_once(':') {
            Some((name, port)) if is_port(port) && (!name.contains(':') || name.ends_with(']')) => name,
            _ => host,
        };
        let name = name.to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        address.parse::<IpAddr>().is_ok() || name == "localhost" || self.0.contains(&name)
    }
}

/// What answers are made of.
struct Answers {
    store: Arc<Store>,
    live: Live,
    names: Names,
    pages: Arc<Semaphore>,
    /// The last report, for all who ask at about the same time.
    shared: Mutex<Option<(Stopwatch, Arc<str>)>>,
}

impl Answers {
    async fn answer(self: &Arc<Self>, request: &Request<Incoming>) -> Response<Body> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| self.names.are_meant_by(host)) {
            let text = "This name is not ours: ask by address, or by the name given to --listen.\n";
            return plain(StatusCode::MISDIRECTED_REQUEST, text);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET: nothing can be changed here.\n");
        }
        let answered = match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/explain" => self.explain(request.uri().query().unwrap_or_default()).await,
            "/events" => Ok(self.page()),
            path => Ok(asset(path).map_or_else(
                || plain(StatusCode::NOT_FOUND, "There are / and /metrics.\n"),
                |Asset { media_type, text }| respond(StatusCode::OK, media_type, text),
            )),
        };
        answered.unwrap_or_else(|error| plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")))
    }

    async fn metrics(self: &Arc<Self>) -> Result<Response<Body>, StoreError> {
        let it = Arc::clone(self);
        let text = blocking(move || Ok(metrics(&report(&it.store, Some(&it.live))?))).await?;
        Ok(respond(StatusCode::OK, METRICS_TYPE, text))
    }

    async fn explain(self: &Arc<Self>, query: &str) -> Result<Response<Body>, StoreError> {
        let path = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "path");
        let Some((_, path)) = path.filter(|(_, path)| !path.trim().is_empty()) else {
            return Ok(plain(StatusCode::BAD_REQUEST, "Which path? /explain?path=...\n"));
        };
        let (it, path) = (Arc::clone(self), path.trim().to_owned());
        let told = blocking(move || it.explain_any(&path)).await?;
        Ok(respond(StatusCode::OK, "application/json", json(&told)))
    }

    /// Explains an absolute path, or one below any of the roots.
    fn explain_any(&self, path: &str) -> Result<Explanation, StoreError> {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let whole = PathBuf::from(path);
        let roots = if whole.is_absolute() { Vec::new() } else { self.store.roots()? };
        let below = roots.iter().map(|(_, root)| PathBuf::from(OsStr::from_bytes(&root.path)).join(path));
        let mut told = None;
        for path in below.chain(whole.is_absolute().then(|| whole.clone())) {
            let explanation = explain(&self.store, &path, Some(&self.live))?;
            if explanation.known {
                return Ok(explanation);
            }
            told.get_or_insert(explanation);
        }
        Ok(told.unwrap_or_else(|| Explanation::new(path.to_owned())))
    }

    /// What is new, for as long as the page is open.
    fn page(self: &Arc<Self>) -> Response<Body> {
        let Ok(permit) = Arc::clone(&self.pages).try_acquire_owned() else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open.\n");
        };
        let news = news(Arc::clone(self), permit);
        let mut response = Response::new(StreamBody::new(Box::pin(news)).boxed_unsync());
        dress(&mut response, "text/event-stream");
        response
    }

    async fn report(self: &Arc<Self>) -> Result<Arc<str>, StoreError> {
        let mut shared = self.shared.lock().await;
        if let Some((since, text)) = &*shared
            && since.elapsed() < SHARED_FOR
        {
            return Ok(Arc::clone(text));
        }
        let it = Arc::clone(self);
        let text = blocking(move || Ok(json(&report(&it.store, Some(&it.live))?))).await?;
        let text = Arc::<str>::from(text);
        *shared = Some((Stopwatch::start(), Arc::clone(&text)));
        Ok(text)
    }

    /// The figures since `upto` (all of the last hour the first time) and the report, as server-sent events.
    async fn message(self: &Arc<Self>, upto: &mut Option<Timestamp>) -> Result<String, StoreError> {
        let name = if upto.is_none() { "history" } else { "points" };
        let (points, reached) = self.live.recent.points(upto.unwrap_or_default());
        *upto = Some(reached);
        let report = self.report().await?;
        Ok(format!("event: {name}\ndata: {}\n\nevent: report\ndata: {report}\n\n", json(&points)))
    }
}

/// A message every two seconds; ends when the store cannot be read.
fn news(
    answers: Arc<Answers>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    stream::unfold((answers, permit, None), |(answers, permit, mut upto)| async move {
        if upto.is_some() {
            sleep(NEWS_EVERY).await;
        }
        let message = answers.message(&mut upto).await.ok()?;
        Some((Ok(Frame::data(Bytes::from(message))), (answers, permit, upto)))
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own answers have only text keys")
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn respond(status: StatusCode, media_type: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed_unsync());
    *response.status_mut() = status;
    dress(&mut response, media_type);
    response
}

/// The headers of every answer: nothing is kept, framed, guessed at or loaded from elsewhere.
fn dress(response: &mut Response<Body>, media_type: &'static str) {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let same_origin = HeaderValue::from_static("same-origin");
    response.headers_mut().insert("cross-origin-resource-policy", same_origin);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, is_ours: bool) {
        let names = Names(["scout.example.org".to_owned(), "node7".to_owned()]);
        assert_eq!(names.are_meant_by(host), is_ours, "{host}");
    }

    #[test]
    fn only_addresses_and_our_own_names_are_meant() {
        for host in
            ["127.0.0.1", "127.0.0.1:9477", "[::1]:9477", "[::1]", "::1", "192.0.2.7:80", "localhost:1"]
        {
            check(host, true);
        }
        for host in ["scout.example.org:9477", "Scout.Example.ORG", "node7", "node7:9477"] {
            check(host, true);
        }
        for host in ["", "evil.example", "evil.example:9477", "localhost.evil.example", "node7.evil.example"]
        {
            check(host, false);
        }
        for host in ["127.0.0.1.evil.example", "127.0.0.1:9477.evil.example", "[::1", "evil:127.0.0.1"] {
            check(host, false);
        }
    }
}
