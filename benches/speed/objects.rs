//! Class sums over an object on a server, beside a plain download of the same bytes.
//!
//! The server is far away: every request waits, and every connection has a rate of its own, as those of an object store do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group};

use crate::data::{Layout, Order, ROWS, archive, brief};
use crate::formats::rows;
use crate::measuring::{SUMS, measure};
use crate::write;

const DIM: usize = 512;
const LATENCY: Duration = Duration::from_millis(20);
/// Bytes a second of a connection.
const RATE: f64 = 50e6;
/// What the plain download asks for at a time, and on how many connections.
const RANGE: usize = 4 << 20;
const CONNECTIONS: usize = 8;

/// Objects by their names.
type Objects = Arc<Vec<(&'static str, Vec<u8>)>>;

/// Serves objects on a port of this machine, to any number of connections.
fn serve(objects: Objects) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let objects = objects.clone();
            // A client that goes away ends its own thread alone.
            thread::spawn(move || drop(converse(&stream, &objects)));
        }
    });
    format!("http://{address}")
}

fn converse(stream: &TcpStream, objects: &Objects) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        thread::sleep(LATENCY);
        let mut out = stream;
        let Some((_, bytes)) = objects.iter().find(|(name, _)| *name == path.trim_start_matches('/')) else {
            out.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        };
        let range =
            lines.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let (start, end) = range.map_or((0, bytes.len()), |range| {
            let (start, end) = range.split_once('-').expect("a range");
            (
                start.parse().expect("a number"),
                end.parse::<usize>().map_or(bytes.len(), |last| (last + 1).min(bytes.len())),
            )
        });
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {start}-{}/{}\r\netag: \"one\"\r\n\
             last-modified: Sun, 01 Nov 2026 00:00:00 GMT\r\n\r\n",
            end - start,
            end - 1,
            bytes.len()
        );
        out.write_all(head.as_bytes())?;
        if method == "HEAD" {
            continue;
        }
        let begin = Instant::now();
        for (at, piece) in bytes[start..end].chunks(1 << 16).enumerate() {
            let due = Duration::from_secs_f64((at << 16) as f64 / RATE);
            thread::sleep(due.saturating_sub(begin.elapsed()));
            out.write_all(piece)?;
        }
    }
}

/// Fetches an object in ranges on several connections, and drops what comes.
fn download(server: &str, path: &str, size: usize) {
    let host = server.trim_start_matches("http://").to_owned();
    let ranges: Arc<Vec<usize>> = Arc::new((0..size).step_by(RANGE).collect());
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (ranges, host) = (ranges.clone(), host.clone());
            scope.spawn(move || {
                let mut stream = TcpStream::connect(&host).expect("a connection");
                let mut body = vec![0; RANGE];
                for &start in ranges.iter().skip(connection).step_by(CONNECTIONS) {
                    let end = (start + RANGE).min(size);
                    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nrange: bytes={start}-{}\r\n\r\n", end - 1)
                        .expect("a request");
                    let mut reader = BufReader::new(&stream);
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        reader.read_line(&mut line).expect("a head");
                    }
                    reader.read_exact(&mut body[..end - start]).expect("a body");
                }
            });
        }
    });
}

fn objects(c: &mut Criterion) {
    let parquet = archive(Layout::Fixed, 10, DIM, Order::Random, None);
    let (values, labels) = rows(&parquet.path);
    let features = write::features(DIM, &values);
    let size = features.len();
    let server = serve(Arc::new(vec![("x.npy", features), ("y.npy", write::labels(&labels))]));
    let mut group = c.benchmark_group("objects");
    brief(&mut group);
    group.throughput(Throughput::Bytes((4 * ROWS * DIM) as u64));
    group.bench_function("plain download", |b| b.iter(|| download(&server, "x.npy", size)));
    let input = PathBuf::from(format!("{server}/x.npy,{server}/y.npy"));
    group.bench_function("npy, threads=2", |b| b.iter(|| measure(&input, &SUMS, 2)));
}

criterion_group!(benches, objects);
