//! A store of objects in the process of a test, which breaks as it is told to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Server;
use super::http::{decoded, head};

/// A request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The bucket, and the key behind a slash.
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// So much of the body is sent before the connection is closed.
    pub(crate) cut: Option<usize>,
    /// How long nothing is sent.
    pub(crate) delay: Duration,
}

impl Answer {
    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// The objects of a server, by their paths.
pub(crate) type Objects = BTreeMap<String, Vec<u8>>;

/// What a server does before it answers: it may change objects, and answer otherwise.
type Hook = Box<dyn FnMut(&Request, &mut Objects) -> Change + Send>;

/// What becomes of an answer.
pub(crate) enum Change {
    Nothing,
    /// It is this one.
    Is(Answer),
    /// The usual one is changed.
    Was(fn(Answer) -> Answer),
}

pub(crate) struct Stub {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    objects: Mutex<Objects>,
    hook: Mutex<Option<Hook>>,
    seen: Mutex<Vec<Request>>,
}

impl Stub {
    /// Starts a server of these objects.
    pub(crate) fn start(objects: Objects) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { objects: Mutex::new(objects), hook: Mutex::default(), seen: Mutex::default() });
        let serving = shared.clone();
        // The threads end with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(&stream));
            }
        });
        Self { port, shared }
    }

    /// What is done before each answer from here on.
    pub(crate) fn before(&self, hook: impl FnMut(&Request, &mut Objects) -> Change + Send + 'static) {
        *self.shared.hook.lock().unwrap() = Some(Box::new(hook));
    }

    pub(crate) fn objects(&self) -> Objects {
        self.shared.objects.lock().unwrap().clone()
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        self.shared.objects.lock().unwrap().insert(path.to_owned(), bytes.to_vec());
    }

    pub(crate) fn remove(&self, path: &str) {
        self.shared.objects.lock().unwrap().remove(path);
    }

    /// The requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}

impl Server for Stub {
    fn port(&self) -> u16 {
        self.port
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let request = read(&mut reader)?;
            self.seen.lock().unwrap().push(Request { body: Vec::new(), ..request.clone() });
            let answer = {
                let mut objects = self.objects.lock().unwrap();
                let change = match &mut *self.hook.lock().unwrap() {
                    Some(hook) => hook(&request, &mut objects),
                    None => Change::Nothing,
                };
                match change {
                    Change::Nothing => answer(&request, &mut objects),
                    Change::Is(answer) => answer,
                    Change::Was(change) => change(answer(&request, &mut objects)),
                }
            };
            std::thread::sleep(answer.delay);
            let mut text = format!("HTTP/1.1 {} X\r\n", answer.status);
            let sized = answer.headers.iter().any(|(name, _)| name == "Content-Length");
            for (name, value) in &answer.headers {
                write!(text, "{name}: {value}\r\n").unwrap();
            }
            if !sized {
                write!(text, "Content-Length: {}\r\n", answer.body.len()).unwrap();
            }
            text += "\r\n";
            let body = if request.method == "HEAD" { &[][..] } else { &answer.body[..] };
            let mut stream = stream;
            stream.write_all(text.as_bytes()).ok()?;
            if let Some(cut) = answer.cut {
                stream.write_all(&body[..cut.min(body.len())]).ok()?;
                return stream.shutdown(std::net::Shutdown::Both).ok();
            }
            stream.write_all(body).ok()?;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let lines = head(reader)?;
    let mut words = lines[0].split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pair = |text: &str, mark: char| {
        let (name, value) = text.split_once(mark).unwrap_or((text, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    let query = query.split('&').map(|text| pair(text, '=')).map(|(name, value)| (name, decoded(&value))).collect();
    let headers: BTreeMap<String, String> =
        lines[1..].iter().map(|line| pair(line, ':')).map(|(name, value)| (name.to_lowercase(), value)).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path: decoded(path.trim_matches('/')), query, headers, body })
}

/// The tag of some bytes.
pub(crate) fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:x}\"", hasher.finish())
}

const MODIFIED: &str = "Sat, 01 Nov 2025 00:00:00 GMT";

fn answer(request: &Request, objects: &mut Objects) -> Answer {
    let found = objects.get(&request.path);
    let matches = |tags: &str| found.is_some_and(|bytes| tags == "*" || tags == tag(bytes));
    let fails = request.headers.get("if-match").is_some_and(|tags| !matches(tags))
        || request.headers.get("if-none-match").is_some_and(|tags| matches(tags));
    match request.method.as_str() {
        "GET" if request.query.contains_key("list-type") => list(request, objects),
        "HEAD" if !request.path.contains('/') => Answer::of(200, "").with("x-amz-bucket-region", "eu-central-1"),
        "GET" | "HEAD" => {
            let Some(bytes) = found else { return Answer::of(404, "<Error><Code>NoSuchKey</Code></Error>") };
            if fails {
                return Answer::of(412, "<Error><Code>PreconditionFailed</Code></Error>");
            }
            let described =
                |status, body: &[u8]| Answer::of(status, body).with("ETag", tag(bytes)).with("Last-Modified", MODIFIED);
            match request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
                Some((from, to)) => {
                    let from: usize = from.parse().unwrap();
                    let end = to.parse().map_or(bytes.len(), |to: usize| (to + 1).min(bytes.len()));
                    let range = format!("bytes {from}-{}/{}", end - 1, bytes.len());
                    described(206, &bytes[from..end]).with("Content-Range", range)
                }
                None => described(200, bytes),
            }
        }
        "PUT" if fails => Answer::of(412, "<Error><Code>PreconditionFailed</Code></Error>"),
        "PUT" => {
            objects.insert(request.path.clone(), request.body.clone());
            Answer::of(200, "").with("ETag", tag(&request.body))
        }
        "DELETE" => {
            objects.remove(&request.path);
            Answer::of(204, "")
        }
        _ => Answer::of(400, ""),
    }
}

/// Keys of one answer.
const PAGE: usize = 1000;

/// One page of a listing.
fn list(request: &Request, objects: &Objects) -> Answer {
    let text = |name: &str| request.query.get(name).map_or("", String::as_str);
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let within = format!("{}/{prefix}", request.path);
    let after = format!("{}/{}", request.path, text("continuation-token"));
    let mut xml = String::from("<ListBucketResult>");
    let (mut count, mut last) = (0, String::new());
    let mut folders = std::collections::BTreeSet::new();
    let mut more = false;
    for (path, bytes) in objects.range(within.clone()..).take_while(|(path, _)| path.starts_with(&within)) {
        if !text("continuation-token").is_empty() && *path <= after {
            continue;
        }
        if count == PAGE {
            more = true;
            break;
        }
        let key = &path[request.path.len() + 1..];
        key.clone_into(&mut last);
        if let Some(at) = key[prefix.len()..].find('/').filter(|_| !delimiter.is_empty()) {
            count += usize::from(folders.insert(key[..=prefix.len() + at].to_owned()));
        } else {
            count += 1;
            write!(
                xml,
                "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{}</ETag>\
                 <LastModified>2025-11-01T00:00:00.123Z</LastModified></Contents>",
                bytes.len(),
                tag(bytes).replace('"', "&quot;"),
            )
            .unwrap();
        }
    }
    for folder in folders {
        write!(xml, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").unwrap();
    }
    write!(xml, "<IsTruncated>{more}</IsTruncated>").unwrap();
    if more {
        write!(xml, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
    }
    Answer::of(200, xml + "</ListBucketResult>")
}
